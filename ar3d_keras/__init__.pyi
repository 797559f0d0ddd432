# The public API: what stands here, and only that. `__init__.py` imports each name when it is used.

from .config import TrainConfig as TrainConfig
from .errors import UserError as UserError
from .evaluation.evaluator import evaluate as evaluate
from .evaluation.metrics import Evaluation as Evaluation
from .experiments.compare import compare as compare
from .experiments.crossval import crossval as crossval
from .experiments.export import export as export
from .experiments.label_loop import next_to_label as next_to_label
from .experiments.load import predict as predict
from .experiments.run import Run as Run
from .experiments.run import open_run as open_run
from .experiments.show_clips import show_clips as show_clips
from .experiments.train import resume as resume
from .experiments.train import train as train
from .experiments.tuning.tune import tune as tune
from .inference.predictor import Prediction as Prediction
from .labels.read import import_labels as import_labels
from .models.c3d import C3D as C3D
from .models.classifier import VideoClassifier as VideoClassifier
from .models.conv3d import Conv3DClassifier as Conv3DClassifier
from .models.fused3d import Fused3D as Fused3D
from .models.i3d import I3D as I3D
from .models.layers import AttentionGate as AttentionGate
from .models.loading import load_model as load_model
from .models.lrcn import LRCN as LRCN
from .models.s3d import S3D as S3D
from .models.two_stream import TwoStream as TwoStream
from .models.video_resnet import MC3 as MC3
from .models.video_resnet import R3D as R3D
from .models.video_resnet import R2Plus1D as R2Plus1D
from .progress import Reporter as Reporter
from .reports.callbacks import ConfusionMatrixReport as ConfusionMatrixReport
from .reports.callbacks import CurvesPlot as CurvesPlot
from .reports.report import write_report as write_report
from .training.callbacks import BestNetwork as BestNetwork
from .training.callbacks import HistoryCSV as HistoryCSV
from .training.callbacks import SplitMetrics as SplitMetrics
from .training.optimizers import DecayingAdam as DecayingAdam
from .videos.dataset import open_data as open_data
from .videos.dataset import open_dataset as open_dataset
from .videos.demo import make_demo as make_demo
from .videos.pipeline import Batches as Batches
from .videos.sampling import ClipShape as ClipShape
from .videos.splits import make_split as make_split

__version__: str
