"""Made films with stamps of a clock, and a detector that finds the square in them."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import numpy as np

from vision import Card, Detect, Detector, FakeEngine, Frame, Track
from vision.card import Input
from vision.steps.base import Spec

WIDTH, HEIGHT = 160, 120
FREE = Event()                                   # cleared by who wants the detector to be busy
FREE.set()
BEGAN = 1_700_000_000_123_456_789                # nanoseconds


def square_at(index: int) -> int:
    """The left edge of the square in the frame `index`."""
    return 4 + 2 * (index % 40)


def frames(count: int, *, stamps: Sequence[int] | None = None, source: str = "made", clock: bool = True) -> list[Frame]:
    """Frames of a grey square on black that goes to the right, 30 a second; their stamps are not even."""
    made = []
    for i in range(count):
        image = np.full((HEIGHT, WIDTH, 3), (20, 30, 40), np.uint8)
        x = square_at(i)
        image[40:80, x : x + 40] = (200, 180, 160)
        stamp = (stamps[i] if stamps is not None else BEGAN + i * 33_333_333 + (i * i) % 997) if clock else None
        made.append(Frame(image, i, i / 30, source, stamp))
    return made


def find_square(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B,h,w,3) uint8 -> the box of what is bright, in input pixels, and its score."""
    FREE.wait(10)
    boxes, scores = [], []
    for image in batch:
        rows, columns = np.nonzero(image[..., 0] > 128)
        there = len(rows) > 0
        boxes.append([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]] if there else [[0, 0, 1, 1]])
        scores.append([[0.9 if there else 0.0]])
    return np.array(boxes, np.float32), np.array(scores, np.float32)


def plan_of_square() -> list[Spec]:
    """Detect the square, and track it."""
    card = Card(name="square", task="detect", file="", licence="test", source="here",
                input=Input((WIDTH, HEIGHT), "stretch"), names=("square",))
    return [Detect(model=Detector(FakeEngine(find_square), card)), Track()]
