"""Computer vision that is ready to use: detection, tracking, segmentation, landmarks, actions.

Importing this package imports no torch and opens nothing; a name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision.drawing import draw
    from vision.errors import VisionError
    from vision.io import JsonLines, VideoFile, ahead, latest, read
    from vision.people.face_tracker import FaceTracker
    from vision.people.landmarks import FaceLandmarker
    from vision.people.person import PersonMask
    from vision.people.pose import PoseEstimator, PoseTracker
    from vision.pipeline import run
    from vision.tasks.action import Recognizer
    from vision.tasks.classify import Classifier
    from vision.tasks.detect import Detector
    from vision.tasks.segment import Segmenter
    from vision.tracking import Tracker
    from vision.types import Action, ClassMap, Detections, Frame, Landmarks, Scores, Tracks

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
    "FaceLandmarker": "people.landmarks",
    "FaceTracker": "people.face_tracker",
    "PoseEstimator": "people.pose",
    "PoseTracker": "people.pose",
    "PersonMask": "people.person",
    "Tracker": "tracking",
    "Recognizer": "tasks.action",
    "Action": "types",
    "draw": "drawing",
    "Segmenter": "tasks.segment",
    "ClassMap": "types",
    "run": "pipeline",
}
__all__ = [
    "Action",
    "ClassMap",
    "Classifier",
    "Detections",
    "Detector",
    "FaceLandmarker",
    "FaceTracker",
    "Frame",
    "JsonLines",
    "Landmarks",
    "PersonMask",
    "PoseEstimator",
    "PoseTracker",
    "Recognizer",
    "Scores",
    "Segmenter",
    "Tracker",
    "Tracks",
    "VideoFile",
    "VisionError",
    "ahead",
    "draw",
    "latest",
    "read",
    "run",
]


if not TYPE_CHECKING:                           # a type checker knows the names above, and no others

    def __getattr__(name: str) -> Any:
        if name not in _PUBLIC:
            raise AttributeError(f"module 'vision' has no attribute {name!r}")
        return getattr(import_module(f"vision.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return __all__
