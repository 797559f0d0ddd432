"""Train a network on videos.

python train.py --attention                              the demo set: minutes on a laptop
python train.py --attention --data data/UCF-101          the paper's recipe, a split without leakage
python train.py --help                                   every option
"""

import sys

from ar3d_keras.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
