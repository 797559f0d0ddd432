"""From what a network said of some videos to figures, plots and a report.

`metrics` holds the numbers, `plots` the pictures, `report` the folder a person opens; they
know nothing of Keras. `evaluator`, which runs the network, is imported by name because it
brings a backend with it.
"""

from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.evaluation.report import write_report

__all__ = ["Evaluation", "write_report"]
