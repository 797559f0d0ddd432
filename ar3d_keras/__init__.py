"""Train, evaluate, explain and serve action recognition models with Keras 3.

`__init__.pyi` lists the public names. Each is imported when it is first used, so that
`import ar3d_keras` takes milliseconds and starts no backend.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.2.0"
