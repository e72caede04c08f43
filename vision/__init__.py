"""Computer vision that is ready to use: detection, tracking, segmentation, faces, bodies, actions.

    from vision import Detect, JsonLines, Run, Track, VideoFile, read

    with Run(read("drive.mp4"), [Detect(), Track()], sinks=[VideoFile("out.mp4"), JsonLines("out.jsonl")]) as run:
        for item in run:
            print(item.frame.time, item["track"].ids)

Importing this package imports no torch and opens nothing; a name is loaded when it is first used, and so is a
room: `vision.tracking`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision.card import Card
    from vision.drawing import draw
    from vision.engine import FakeEngine
    from vision.errors import VisionError
    from vision.io import Info, Source, ahead, latest, read
    from vision.item import Item
    from vision.people.body import Poses
    from vision.people.face import Faces
    from vision.people.face_tracker import FaceTracker
    from vision.people.landmarks import FaceLandmarker
    from vision.people.person import PersonMask
    from vision.people.pose import PoseEstimator, PoseTracker
    from vision.report import Report
    from vision.run import Run
    from vision.sinks import (
        SINKS,
        CocoResults,
        ContactSheet,
        Csv,
        Events,
        HeatMapPicture,
        JsonLines,
        LabelMaps,
        MotText,
        SaveFrames,
        Segments,
        Show,
        Sink,
        SinkSpec,
        Timeline,
        VarianceMaps,
        VideoFile,
        YoloText,
    )
    from vision.sinks.film import VideoWriter
    from vision.spec import Option
    from vision.steps import (
        TASKS,
        Classify,
        Count,
        Detect,
        EstimatePose,
        FindFaces,
        Follow,
        Pool,
        RecognizeActions,
        Segment,
        Spec,
        Step,
        Track,
    )
    from vision.steps.plan import read_plan
    from vision.tasks.action import Recognizer
    from vision.tasks.classify import Classifier
    from vision.tasks.detect import Detector
    from vision.tasks.segment import Segmenter
    from vision.tracking import Counter, Tracker
    from vision.types import Action, ClassMap, Detections, Frame, Landmarks, Result, Scores, Tracks

__version__ = "0.2.0"

_PUBLIC = {
    "Action": "types",
    "Card": "card",
    "ClassMap": "types",
    "Classifier": "tasks.classify",
    "Classify": "steps",
    "CocoResults": "sinks",
    "ContactSheet": "sinks",
    "Count": "steps",
    "Counter": "tracking",
    "Csv": "sinks",
    "Detect": "steps",
    "Detections": "types",
    "Detector": "tasks.detect",
    "EstimatePose": "steps",
    "Events": "sinks",
    "FaceLandmarker": "people.landmarks",
    "FaceTracker": "people.face_tracker",
    "Faces": "people.face",
    "FakeEngine": "engine",
    "FindFaces": "steps",
    "Follow": "steps",
    "Frame": "types",
    "HeatMapPicture": "sinks",
    "Info": "io",
    "Item": "item",
    "JsonLines": "sinks",
    "LabelMaps": "sinks",
    "Landmarks": "types",
    "MotText": "sinks",
    "Option": "spec",
    "PersonMask": "people.person",
    "Pool": "steps",
    "PoseEstimator": "people.pose",
    "PoseTracker": "people.pose",
    "Poses": "people.body",
    "RecognizeActions": "steps",
    "Recognizer": "tasks.action",
    "Report": "report",
    "Result": "types",
    "Run": "run",
    "SINKS": "sinks",
    "SaveFrames": "sinks",
    "Scores": "types",
    "Segment": "steps",
    "Segmenter": "tasks.segment",
    "Segments": "sinks",
    "Show": "sinks",
    "Sink": "sinks",
    "SinkSpec": "sinks",
    "Source": "io",
    "Spec": "steps",
    "Step": "steps",
    "TASKS": "steps",
    "Timeline": "sinks",
    "Track": "steps",
    "Tracker": "tracking",
    "Tracks": "types",
    "VarianceMaps": "sinks",
    "VideoFile": "sinks",
    "VideoWriter": "sinks.film",
    "VisionError": "errors",
    "YoloText": "sinks",
    "ahead": "io",
    "draw": "drawing",
    "latest": "io",
    "read": "io",
    "read_plan": "steps.plan",
}
_ROOMS = ("engine", "io", "metrics", "nets", "people", "sinks", "spec", "steps", "tasks", "tracking", "train", "view")
__all__ = [
    "SINKS",
    "TASKS",
    "Action",
    "Card",
    "ClassMap",
    "Classifier",
    "Classify",
    "CocoResults",
    "ContactSheet",
    "Count",
    "Counter",
    "Csv",
    "Detect",
    "Detections",
    "Detector",
    "EstimatePose",
    "Events",
    "FaceLandmarker",
    "FaceTracker",
    "Faces",
    "FakeEngine",
    "FindFaces",
    "Follow",
    "Frame",
    "HeatMapPicture",
    "Info",
    "Item",
    "JsonLines",
    "LabelMaps",
    "Landmarks",
    "MotText",
    "Option",
    "PersonMask",
    "Pool",
    "PoseEstimator",
    "PoseTracker",
    "Poses",
    "RecognizeActions",
    "Recognizer",
    "Report",
    "Result",
    "Run",
    "SaveFrames",
    "Scores",
    "Segment",
    "Segmenter",
    "Segments",
    "Show",
    "Sink",
    "SinkSpec",
    "Source",
    "Spec",
    "Step",
    "Timeline",
    "Track",
    "Tracker",
    "Tracks",
    "VarianceMaps",
    "VideoFile",
    "VideoWriter",
    "VisionError",
    "YoloText",
    "ahead",
    "draw",
    "latest",
    "read",
    "read_plan",
]


if not TYPE_CHECKING:                           # a type checker knows the names above, and no others

    def __getattr__(name: str) -> Any:
        if name in _ROOMS:
            return import_module(f"vision.{name}")
        if name not in _PUBLIC:
            raise AttributeError(f"module 'vision' has no attribute {name!r}")
        return getattr(import_module(f"vision.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return __all__
