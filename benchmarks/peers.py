"""Other people's trackers behind one call: `track(detections, time, image) -> (ids, boxes)`."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from vision import Detections
from vision.boxes import xyxy_to_cxcywh

Ids = tuple[np.ndarray, np.ndarray]            # (N,) ids, (N,4) xyxy
Track = Callable[..., Ids]
WITH_IMAGES = {"BoT-SORT", "TRACKTRACK", "motion", "looks"}    # they read the frames: the camera's motion, appearance


def roboflow() -> dict[str, Callable[[float], Track]]:
    """The trackers of the package `trackers` (roboflow, Apache-2.0) with their defaults."""
    import supervision
    import trackers

    def make(kind: Any, image_too: bool) -> Callable[[float], Track]:
        def start(rate: float) -> Track:
            tracker = kind(frame_rate=rate)

            def track(detections: Detections, time: float, image: Any = None) -> Ids:
                seen = supervision.Detections(
                    xyxy=detections.boxes, confidence=detections.scores, class_id=detections.labels
                )
                tracks = tracker.update(seen, image if image_too else None, timestamp=time)
                known = tracks.tracker_id >= 0
                return tracks.tracker_id[known], tracks.xyxy[known]

            return track

        return start

    kinds = {
        "SORT": trackers.SORTTracker, "ByteTrack": trackers.ByteTrackTracker,
        "OC-SORT": trackers.OCSORTTracker, "C-BIoU": trackers.CBIoUTracker,
        "BoT-SORT": trackers.BoTSORTTracker,
    }
    return {name: make(kind, name in WITH_IMAGES) for name, kind in kinds.items()}


class _Results:
    """Detections as ultralytics' trackers read them."""

    def __init__(self, boxes: np.ndarray, conf: np.ndarray, cls: np.ndarray) -> None:
        self.boxes, self.conf, self.cls = boxes, conf, cls

    @property
    def xywh(self) -> np.ndarray:
        return xyxy_to_cxcywh(self.boxes)

    @property
    def xyxy(self) -> np.ndarray:
        return self.boxes

    def __len__(self) -> int:
        return len(self.conf)

    def __getitem__(self, rows: np.ndarray) -> _Results:
        return _Results(self.boxes[rows], self.conf[rows], self.cls[rows])


def ultralytics() -> dict[str, Callable[[float], Track]]:
    """Ultralytics' ByteTrack, and TrackTrack, which is its default, with the settings of their files; they know no
    frame rate."""
    from ultralytics.trackers.byte_tracker import BYTETracker
    from ultralytics.trackers.track_tracker import TRACKTRACK
    from ultralytics.utils import YAML
    from ultralytics.utils.checks import check_yaml

    def make(kind: Any, file: str) -> Callable[[float], Track]:
        def start(rate: float) -> Track:
            tracker = kind(SimpleNamespace(**YAML.load(check_yaml(file))))

            def track(detections: Detections, time: float, image: Any = None) -> Ids:
                seen = _Results(detections.boxes, detections.scores, detections.labels.astype(np.float32))
                rows = np.asarray(tracker.update(seen, image), np.float64).reshape(-1, 8)
                return rows[:, 4].astype(np.int64), rows[:, :4]

            return track

        return start

    return {"BYTETracker": make(BYTETracker, "bytetrack.yaml"), "TRACKTRACK": make(TRACKTRACK, "tracktrack.yaml")}
