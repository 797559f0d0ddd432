"""Train, evaluate, explain and serve action recognition models with Keras 3.

`__init__.pyi` lists the public names. Each is imported when it is first used, so that
`import ar3d_keras` takes milliseconds and starts no backend.
"""

import lazy_loader

from ar3d_keras.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
