"""A contact sheet: one picture that shows a whole run."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from vision.drawing import label
from vision.errors import SinkError
from vision.files import check_writable, write_whole
from vision.types import Image

_TALLEST = 4                         # a picture's height in widths of its cell; a taller one is narrower


class ContactSheet:
    """Up to 12 pictures, evenly spread over however many are written, as one PNG.

    Not knowing the length, it keeps every n-th picture and, whenever 24 are there, drops every
    second one and doubles n; so memory is bounded. Raises SinkError, at once where the path is no
    picture's or cannot be written.
    """

    def __init__(self, path: str | Path, *, columns: int = 4, width: int = 320) -> None:
        self.path, self._columns, self._width = Path(path), columns, width
        self._kept: list[tuple[float, Image]] = []
        self._every, self._seen = 1, 0
        if not cv2.haveImageWriter(str(self.path)):
            raise SinkError(f"{str(path)!r}: a contact sheet is a picture. Give a .png or .jpg.")
        check_writable(self.path)

    def write(self, image: Image, time: float) -> None:
        """Take a picture (H,W,3) uint8 BGR with its time in seconds."""
        if self._seen % self._every == 0:
            height, width = image.shape[:2]
            scale = min(self._width / width, _TALLEST * self._width / height)
            size = max(1, round(width * scale)), max(1, round(height * scale))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            self._kept.append((time, np.asarray(small, np.uint8)))
            if len(self._kept) == 24:
                self._kept, self._every = self._kept[::2], self._every * 2
        self._seen += 1

    def close(self) -> None:
        """Write the sheet. Nothing is written where there was no picture."""
        if not self._kept:
            return
        picks = np.unique(np.linspace(0, len(self._kept) - 1, min(12, len(self._kept))).round().astype(int))
        cells = [self._kept[i] for i in picks]
        height = max(image.shape[0] for _, image in cells)
        rows = -(-len(cells) // self._columns)
        columns = min(self._columns, len(cells))
        sheet = np.zeros((rows * height, columns * self._width, 3), np.uint8)
        for n, (time, image) in enumerate(cells):
            top, left = n // columns * height, n % columns * self._width
            sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
            label(sheet, f"{time:.2f} s", (left, top + height), (0, 0, 0))
        write_whole(self.path, cv2.imencode(self.path.suffix, sheet)[1].tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
