"""A contact sheet: one picture that shows a whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cv2
import numpy as np

from vision.drawing import label
from vision.errors import SinkError
from vision.files import check_writable, write_whole
from vision.sinks.base import Sink, SinkSpec
from vision.spec import Option, spec
from vision.state import State
from vision.types import Image

if TYPE_CHECKING:
    from vision.item import Item
    from vision.steps.base import Spec

_TILES = 12                          # at most
_TALLEST = 4                         # a picture's height in widths of its cell; a taller one is narrower


@spec
class ContactSheet(SinkSpec):
    """7 to 12 annotated frames, evenly spaced over the run, as one picture, written anew after each source."""

    name = "sheet"

    path: Annotated[Path | str, Option("contact sheet of annotated frames, one PNG", flags=("--sheet",))]

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises SinkError where the path is no picture's or cannot be written."""
        return Sheet(self.path)


class Sheet(Sink):
    """7 to 12 pictures, or all of fewer, the same number of frames apart, of however many are written, as one PNG.

    Not knowing the length, it keeps every n-th picture and, whenever 48 are there, drops every
    second one and doubles n; so memory is bounded. Raises SinkError, at once where the path is no
    picture's or cannot be written.
    """

    def __init__(self, path: str | Path, *, columns: int = 4, width: int = 320) -> None:
        self.path, self._columns, self._width = Path(path), columns, width
        self.paths = (self.path,)
        self._kept: list[tuple[float, Image]] = []
        self._every, self._seen = 1, 0
        if not cv2.haveImageWriter(str(self.path)):
            raise SinkError(f"{str(path)!r}: a contact sheet is a picture. Give a .png or .jpg.")
        check_writable(self.path)

    def take(self, item: Item) -> None:
        """Take an annotated frame."""
        self.write(item.drawn, item.frame.time)

    def write(self, image: Image, time: float) -> None:
        """Take a picture (H,W,3) uint8 BGR with its time in seconds."""
        if self._seen % self._every == 0:
            height, width = image.shape[:2]
            scale = min(self._width / width, _TALLEST * self._width / height)
            size = max(1, round(width * scale)), max(1, round(height * scale))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            self._kept.append((time, np.asarray(small, np.uint8)))
            if len(self._kept) == 4 * _TILES:
                self._kept, self._every = self._kept[::2], self._every * 2
        self._seen += 1

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        """Write the sheet. Nothing is written where there was no picture."""
        if not self._kept:
            return
        cells = self._kept[:: -(-len(self._kept) // _TILES)]
        height = max(image.shape[0] for _, image in cells)
        rows = -(-len(cells) // self._columns)
        columns = min(self._columns, len(cells))
        sheet = np.zeros((rows * height, columns * self._width, 3), np.uint8)
        for n, (time, image) in enumerate(cells):
            top, left = n // columns * height, n % columns * self._width
            sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
            label(sheet, f"{time:.2f} s", (left, top + height), (0, 0, 0))
        write_whole(self.path, cv2.imencode(self.path.suffix, sheet)[1].tobytes())

    def state(self) -> State:
        """The pictures that are kept."""
        times = [time for time, _ in self._kept]
        return {"times": times, "kept": [image for _, image in self._kept], "every": self._every, "seen": self._seen}

    def restore(self, state: State) -> None:
        """Go on with those pictures."""
        kept = [np.asarray(image, np.uint8) for image in state["kept"]]
        self._kept = list(zip(state["times"], kept, strict=True))
        self._every, self._seen = state["every"], state["seen"]
