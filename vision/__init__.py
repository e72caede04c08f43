"""Computer vision that is ready to use: detection, tracking, segmentation, landmarks, actions.

Importing this package imports no torch and opens nothing; a name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Frame": "types",
    "Detections": "types",
    "Tracks": "types",
    "Scores": "types",
    "Landmarks": "types",
    "VisionError": "errors",
    "read": "io",
    "ahead": "io",
    "latest": "io",
    "VideoFile": "io",
    "JsonLines": "io",
    "Detector": "tasks.detect",
    "Classifier": "tasks.classify",
    "FaceLandmarker": "tasks.landmarks",
    "FaceTracker": "tasks.landmarks",
    "PoseEstimator": "tasks.pose",
    "PoseTracker": "tasks.pose",
    "PersonMask": "tasks.person",
    "Tracker": "tracking",
    "Recognizer": "tasks.action",
    "Action": "types",
    "draw": "drawing",
    "Segmenter": "tasks.segment",
    "ClassMap": "types",
    "run": "pipeline",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'vision' has no attribute {name!r}")
    return getattr(import_module(f"vision.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return __all__
