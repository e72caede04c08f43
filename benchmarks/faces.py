"""How fast faces are: frames a second on video, and what one picture takes.

    python benchmarks/faces.py

One and five faces panned over 640x480, made of a photograph that ultralytics ships; the chain is
crop, mesh, irises, head pose, eyes and smoothing, with the detector every half second of video.
Decoding and drawing are not in it. A figure says little while other work runs: the bare mesh is
timed beside it, in the same process.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import cv2
import numpy as np
import ultralytics

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


def timed(landmarker: FaceLandmarker, frames: list[Image]) -> str:
    """The figures of a clip, without its first second."""
    tracker, spent, faces, busy = FaceTracker(landmarker), [], 0, 0.0
    for i, frame in enumerate(frames):
        if i == RATE:
            busy = process_time()
        began = perf_counter()
        faces = len(tracker(frame, i / RATE))
        spent.append(perf_counter() - began)
    spent, busy = spent[RATE:], process_time() - busy
    return (
        f"{faces} face(s): {len(spent) / sum(spent):.0f} frames/s, median {median(spent) * 1000:.1f} ms, "
        f"slowest {max(spent) * 1000:.0f} ms; {busy / len(spent) * 1000:.1f} ms of processor time a frame"
    )


def main() -> None:
    landmarker = FaceLandmarker.load()
    one = clip(1)
    batch = np.zeros((1, 192, 192, 3), np.uint8)
    landmarker.engine(batch)
    bare = []
    for _ in range(100):
        began = perf_counter()
        landmarker.engine(batch)
        bare.append(perf_counter() - began)
    print(f"{landmarker.name} on {landmarker.engine.label}; the bare mesh {median(bare) * 1000:.2f} ms")
    for frames in (one, clip(5)):
        print("video 640x480,", timed(landmarker, frames))
    landmarker(one[0])
    pictures = []
    for frame in one[:50]:
        began = perf_counter()
        landmarker(frame)
        pictures.append(perf_counter() - began)
    print(f"one picture 640x480: median {median(pictures) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
