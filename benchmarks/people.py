"""Faces and hands: how many a second, and how many faces `vision blur` leaves seen.

    python benchmarks/people.py speed PICTURE            # faces and hands of a photograph
    python benchmarks/people.py blur dlib_faces68        # dlib's labelled pictures, moved, turned, dimmed, smeared

For `blur` each picture becomes two seconds of film, of whose frames a quarter are smeared and dark, so that detectors
fail. A labelled face counts in each frame in which it is 16 pixels wide and mostly inside; it is covered where nine
tenths of its box are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time
from xml.etree import ElementTree

import cv2
import numpy as np

from vision import BlurFaces, Run
from vision.people.cover import larger
from vision.people.hands import HandFinder, HandTracker
from vision.people.identity import FaceEmbedder
from vision.people.landmarks import FaceLandmarker
from vision.types import Floats, Frame, Image

RATE, FRAMES, WIDTH = 25.0, 50, 640


def labelled(folder: Path) -> Iterator[tuple[Image, Floats]]:
    """Pictures with the boxes (N,4) of their faces."""
    for name in ("training.xml", "testing.xml"):
        for image in ElementTree.parse(folder / name).getroot().iterfind("images/image"):
            keys = ("left", "top", "width", "height")
            table = np.array([[int(box.attrib[key]) for key in keys] for box in image.iterfind("box")], np.float32)
            table[:, 2:] += table[:, :2]
            yield cv2.imread(str(folder / image.attrib["file"])), table


def film(image: Image, boxes: Floats, seed: int) -> Iterator[tuple[Image, Floats]]:
    """Frames of a camera that moves over a picture, with the boxes in them."""
    draw, (h, w) = np.random.default_rng(seed), image.shape[:2]
    size = WIDTH, round(WIDTH * 0.75)
    phases = draw.uniform(0, 2 * np.pi, 4)
    for i in range(FRAMES):
        a, b, c, d = np.sin(phases + i / RATE * np.array([2.0, 1.6, 2.4, 1.2]))
        scale = max(size) / max(w, h) * (1.25 + 0.5 * a)
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), 20 * b, scale)
        turn[:, 2] += np.array(size) / 2 - [w / 2, h / 2] + [60 * c, 40 * d]
        seen = cv2.warpAffine(image, turn, size)
        if i % 8 in (5, 6):                                              # smeared, and dark
            seen = (cv2.blur(seen, (31, 5)) * 0.4).astype(np.uint8)
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2 @ turn[:, :2].T + turn[:, 2]
        half = (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
        yield seen, np.concatenate([middles - half, middles + half], axis=1)


def held(box: Floats, covers: Floats, size_wh: tuple[int, int]) -> float | None:
    """The share of a box that is covered; None for one that does not count."""
    grid = np.zeros(size_wh[::-1], np.uint8)
    left, top, right, bottom = np.rint(box).astype(int).tolist()
    inside = grid[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if right - left < 16 or inside.size < 0.7 * (right - left) * (bottom - top):
        return None
    for x, y, end, below in covers.clip(0, None).astype(int).tolist():
        grid[y:below, x:end] = 1
    return float(inside.mean())


def blur(folder: Path) -> None:
    for bridge in (0.0, 0.5):
        counts = covered = 0
        spec = BlurFaces(bridge=bridge)
        for number, (image, boxes) in enumerate(labelled(folder)):
            pairs = list(film(image, boxes, number))
            frames = [Frame(seen, i, i / RATE) for i, (seen, _) in enumerate(pairs)]
            for item, (seen, truth) in zip(Run(frames, spec), pairs, strict=True):
                covers = larger(item["blur"].boxes, spec.enlarge)
                shares = [held(box, covers, (seen.shape[1], seen.shape[0])) for box in truth]
                counts += sum(share is not None for share in shares)
                covered += sum(share is not None and share >= 0.9 for share in shares)
        print(f"bridge {bridge:g} s: {covered} of {counts} faces in frames are covered, {covered / counts:.4f}")


def rate(call: Callable[[], object], each: int = 1, seconds: float = 3.0) -> str:
    """How many are done a second by a call that does `each`, and what one takes of a processor core."""
    for _ in range(5):
        call()
    begin, busy, done = perf_counter(), process_time(), 0
    while perf_counter() - begin < seconds or done < 20:
        call()
        done += each
    seconds, busy = perf_counter() - begin, process_time() - busy
    return f"{done / seconds:.1f} a second, {busy / done * 1000:.1f} ms of a core each"


def speed(picture: Path) -> None:
    image = cv2.imread(str(picture))
    landmarker = FaceLandmarker.load()
    faces = landmarker(image)
    for precision in ("fp32", "auto"):
        embedder = FaceEmbedder.load(precision=precision)
        done = rate(lambda e=embedder: e.submit([image] * 8, [faces[:1]] * 8)(), each=8)
        print(f"identity, {embedder.engine.label}: faces, cut out and seen twice, eight under way: {done}")
    finder = HandFinder.load()
    clock = iter(range(1 << 30))
    tracker = HandTracker(finder, max_hands=1)
    found = len(tracker(image, 0.0))
    done = rate(lambda: tracker(image, next(clock) / 30))
    print(f"hands, {finder.engine.label}: frames of a video with {found} of them: {done}")


if __name__ == "__main__":
    {"blur": blur, "speed": speed}[sys.argv[1]](Path(sys.argv[2]))
