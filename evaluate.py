"""Evaluate a trained network: metrics, confusion matrix, HTML report.

python evaluate.py --split val                           the latest run
python evaluate.py --split test --run NAME --clips 10    average ten clips per video
python evaluate.py --help                                every option
"""

import sys

from ar3d_keras.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
