"""YuNet (Wu, Peng, Yu 2023) as an engine for `FaceDetector`, run by OpenCV's own decoder of it.

Its file does not ship: `vision weights pull yunet` fetches it.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path

import cv2
import numpy as np

from vision.card import Card
from vision.engine.base import Outputs, checked_batch
from vision.errors import EngineError
from vision.weights import resolve

_MIN_SCORE, _MAX_IOU, _TOP = 0.1, 0.3, 500      # low: `FaceDetector` has the threshold


def load(card: Card, device: str, precision: str, backend: str) -> YunetEngine:
    """YuNet's engine from its card.

    Raises EngineError for a device, precision or back end other than `auto` and what it has, WeightsError
    where the weights are missing.
    """
    choices = ("device", device, "cpu"), ("precision", precision, "fp32"), ("back end", backend, "opencv")
    for what, asked, only in choices:
        if asked not in ("auto", only):
            raise EngineError(
                f"{card.name!r} runs in OpenCV on the CPU in fp32 alone; got {what} {asked!r}. Leave it at "
                "'auto', or find faces with blazeface-full."
            )
    return YunetEngine(resolve(card), card.input.size_wh)


class YunetEngine:
    """Answers pictures of one size with faces (B,A,17) as BlazeFace's graph does: centre, size, six
    points, score. YuNet has no ears (they are put at the eyes) and two corners of the mouth (their
    middle); a picture with fewer faces than another is filled up with scores of 0."""

    label = "opencv CPU fp32"
    backend, device, precision = "opencv", "cpu", "fp32"
    in_flight = 1

    def __init__(self, path: Path, size_wh: tuple[int, int]) -> None:
        self.input_wh: tuple[int, int] | None = size_wh
        self._lock = threading.Lock()           # OpenCV's detector keeps buffers
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", size_wh, _MIN_SCORE, _MAX_IOU, _TOP)
        except cv2.error as error:
            raise EngineError(f"OpenCV cannot read {str(path)!r}: {' '.join(str(error).split())}") from error

    def submit(self, batch: np.ndarray) -> Future[Outputs]:
        """Run a batch now; see `Engine`."""
        future: Future[Outputs] = Future()
        try:
            future.set_result(self(batch))
        except Exception as error:
            future.set_exception(error)
        return future

    def __call__(self, batch: np.ndarray) -> Outputs:
        """Run a batch."""
        with self._lock:
            found = [self._net.detect(picture)[1] for picture in checked_batch(batch, self.input_wh)]
        tables = [_rows(rows) for rows in found]
        most = max(len(table) for table in tables)
        padded = [np.pad(table, ((0, most - len(table)), (0, 0))) for table in tables]
        return (np.stack(padded),)

    def close(self) -> None:
        """Nothing to give back."""


def _rows(faces: np.ndarray | None) -> np.ndarray:
    """YuNet's (N,15) left, top, width, height, five points, score (None: nobody) -> (N,17)."""
    table = np.zeros((0, 15), np.float32) if faces is None else np.asarray(faces, np.float32)
    corner, size, score = table[:, :2], table[:, 2:4], table[:, 14:]
    eyes, nose = table[:, 4:8], table[:, 8:10]
    mouth = (table[:, 10:12] + table[:, 12:14]) / 2
    return np.concatenate([corner + size / 2, size, eyes, nose, mouth, eyes, score], axis=1)
