"""`python -m ar3d_keras VERB`."""

import sys

from ar3d_keras.cli import main

sys.exit(main())
