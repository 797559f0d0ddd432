"""Train, judge, explain and serve video action recognisers from Keras 3.

The public API is what stands in `__all__`; it is imported when it is first used (PEP 562), so
that `import ar3d_keras` takes milliseconds and needs no backend.
"""

import importlib

_HOMES = {
    "AttentionGate": "models.layers",
    "Batches": "videos.pipeline",
    "BestNetwork": "training.callbacks",
    "C3D": "models.c3d",
    "ConfusionMatrixReport": "reports.callbacks",
    "ClipShape": "videos.sampling",
    "Conv3DClassifier": "models.conv3d",
    "CurvesPlot": "reports.callbacks",
    "DecayingAdam": "training.optimizers",
    "Evaluation": "evaluation.metrics",
    "Fused3D": "models.fused3d",
    "HistoryCSV": "training.callbacks",
    "I3D": "models.i3d",
    "LRCN": "models.lrcn",
    "SplitMetrics": "training.callbacks",
    "TwoStream": "models.two_stream",
    "UserError": "errors",
    "evaluate": "evaluation.evaluator",
    "load_model": "models.loading",
    "make_demo": "videos.demo",
    "make_split": "videos.splits",
    "predict": "experiments.load",
    "open_data": "videos.dataset",
    "open_dataset": "videos.dataset",
    "write_report": "reports.report",
}
__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
