"""Several models on one newest frame, as a robot's own loop has them: python examples/newest_frame.py VIDEO (or 0)"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from time import monotonic

import numpy as np

from vision import Detector, Frame, Segmenter, Tracker, Tracks, latest, read

MAX_AGE_S = 0.5


@dataclass(frozen=True)
class Seen:
    """What is known of one moment. tracks: in pixels. road: (H,W) bool. age_s: of the frame when it was known."""

    frame: Frame
    tracks: Tracks
    road: np.ndarray
    age_s: float


def look(frame: Frame, detector: Detector, segmenter: Segmenter, tracker: Tracker) -> Seen:
    """All models on one frame: both are at work before the first is waited for."""
    boxes, classes = detector.submit([frame.image], weak=0.1), segmenter.submit([frame.image])
    tracks = tracker(boxes()[0], frame.time)
    road = classes()[0].labels == list(segmenter.names).index("road")
    return Seen(frame, tracks, road, monotonic() - frame.captured)


if __name__ == "__main__":
    with Detector.load() as detector, Segmenter.load() as segmenter, latest(read(sys.argv[1], realtime=True)) as frames:
        tracker = Tracker(lost_after=1.0)
        for frame in frames:
            seen = look(frame, detector, segmenter, tracker)
            late = ", too old to act on" if seen.age_s > MAX_AGE_S else ""
            print(f"{frame.index}: {len(seen.tracks)} tracks, {seen.road.mean():.0%} road, {seen.age_s:.3f} s{late}")
