"""Sinks, what they are made from, and `SINKS`, where all of them are listed."""

from __future__ import annotations

from vision.sinks.bag import Bag
from vision.sinks.base import Sink, SinkSpec
from vision.sinks.boxes import CocoResults, MotText, YoloText
from vision.sinks.events import BasisPicture, Events, HeatMapPicture
from vision.sinks.frames import SaveFrames
from vision.sinks.instances import Cutouts, InstanceMaps
from vision.sinks.maps import LabelMaps, VarianceMaps
from vision.sinks.mcap import Mcap
from vision.sinks.pages import Alto, Hocr, PlainText
from vision.sinks.publish import Publish
from vision.sinks.segments import Segments, Timeline
from vision.sinks.sheet import ContactSheet
from vision.sinks.show import Show
from vision.sinks.text import Csv, JsonLines
from vision.sinks.video import VideoFile
from vision.spec import installed

__all__ = [
    "SINKS", "Alto", "Bag", "BasisPicture", "CocoResults", "ContactSheet", "Csv", "Cutouts", "Events", "HeatMapPicture",
    "Hocr", "InstanceMaps", "JsonLines", "LabelMaps", "Mcap", "MotText", "PlainText", "Publish", "SaveFrames",
    "Segments", "Show", "Sink", "SinkSpec", "Timeline", "VarianceMaps", "VideoFile", "YoloText", "sinks",
]

SINKS: dict[str, type[SinkSpec]] = {
    kind.name: kind
    for kind in (
        VideoFile, JsonLines, Csv, CocoResults, YoloText, SaveFrames, ContactSheet, Show, MotText, Events,
        HeatMapPicture, BasisPicture, LabelMaps, VarianceMaps, InstanceMaps, Cutouts, Segments, Timeline,
        Mcap, Bag, Publish,
        PlainText, Hocr, Alto,
    )
}


def sinks() -> dict[str, type[SinkSpec]]:
    """`SINKS`, and those that installed packages bring under the entry point `vision.sinks`: each a `SinkSpec`."""
    return {**installed("vision.sinks"), **SINKS}
