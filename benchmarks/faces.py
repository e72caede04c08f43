"""How fast faces are: frames a second on video, and what one picture takes.

    python benchmarks/faces.py

One and five faces panned over 640x480, made of a photograph that ultralytics ships; the chain is
crop, mesh, irises, head pose, eyes and smoothing, with the detector every half second of video.
Decoding and drawing are not in it. A figure says little while other work runs: the bare mesh is
timed beside it, in the same process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import ultralytics

from vision.benchmark.bare import one_by_one
from vision.benchmark.meter import Latencies, figures, turn
from vision.people.face_tracker import FaceTracker
from vision.people.landmarks import FaceLandmarker
from vision.types import Image
from vision.view import patch

FRAMES, RATE = 300, 30


def clip(faces: int) -> list[Image]:
    """Frames of 640x480 with a face, or five, that wander about."""
    photo = cv2.imread(str(Path(ultralytics.__file__).parent / "assets/zidane.jpg"))
    if faces == 1:
        ways = [(980 + 60 * np.sin(i / 20), 260 + 40 * np.cos(i / 15)) for i in range(FRAMES)]
        return [np.ascontiguousarray(patch(photo, way, 560, 640).pixels[80:560]) for way in ways]
    frames = []
    for i in range(FRAMES):
        frame = np.full((480, 640, 3), 90, np.uint8)
        for k in range(faces):
            x, y = 15 + k % 3 * 205 + round(10 * np.sin(i / 12 + k)), 20 + k // 3 * 230
            frame[y : y + 200, x : x + 200] = patch(photo, (982, 205), 290, 200).pixels
        frames.append(frame)
    return frames


def through(look: Callable[..., object], frames: list[Image], begin: int | None = None) -> tuple[int, Latencies]:
    """Look at frames one by one; with their times, from frame `begin` on, where that is given."""
    spent = []
    for i, frame in enumerate(frames, begin or 0):
        began = perf_counter()
        look(frame, *(() if begin is None else (i / RATE,)))
        spent.append(perf_counter() - began)
    return len(frames), spent


def timed(landmarker: FaceLandmarker, frames: list[Image]) -> str:
    """The figures of a clip, without its first second."""
    tracker = FaceTracker(landmarker)
    through(tracker, frames[:RATE], 0)
    one = turn(partial(through, tracker, frames[RATE:], RATE))
    faces, found = len(tracker(frames[-1], len(frames) / RATE)), figures([one])
    return (
        f"{faces} face(s): {found.fps:.0f} frames/s, median {found.p50_ms:.1f} ms, slowest "
        f"{max(one.latencies) * 1000:.0f} ms; {found.processor_s * 1000:.1f} ms of processor time a frame"
    )


def main() -> None:
    landmarker = FaceLandmarker.load()
    one = clip(1)
    batch = np.zeros((1, 192, 192, 3), np.uint8)
    bare = one_by_one(landmarker.engine, [batch] * 100)
    print(f"{landmarker.name} on {landmarker.engine.label}; the bare mesh {np.median(bare) * 1000:.2f} ms")
    for frames in (one, clip(5)):
        print("video 640x480,", timed(landmarker, frames))
    landmarker(one[0])
    pictures = figures([turn(partial(through, landmarker, one[:50]))])
    print(f"one picture 640x480: median {pictures.p50_ms:.1f} ms")


if __name__ == "__main__":
    main()
