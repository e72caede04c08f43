"""A window that shows what a run sees."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self

import cv2

from vision.errors import SinkError, UsageError
from vision.sinks.base import Sink, SinkSpec
from vision.spec import Option, spec
from vision.types import Image

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec

_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1); cv2.destroyAllWindows()"


@spec
class Show(SinkSpec):
    """A window with the annotated frames; q or Esc ends the run."""

    name = "show"

    title: Annotated[str, Option("the window's title")] = "vision: q closes"

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run."""
        return _Show(self.title)


class _Show(Sink):
    direct = True                                        # all pictures of a window come from one thread

    def __init__(self, title: str) -> None:
        self.title = title
        self.window: Window | None = None

    def begin(self, info: Info) -> None:
        self.window = self.window or Window(self.title)

    def take(self, item: Item) -> None:
        assert self.window is not None
        self.window.write(item.drawn)
        self.done = self.window.closed

    def close(self) -> None:
        if self.window is not None:
            self.window.close()


class Window:
    """A window that shows pictures; `closed` once the user pressed q or Esc, after which pictures are
    not shown any more. SinkError where no window can be opened."""

    def __init__(self, title: str = "vision") -> None:
        self.title = title
        self.closed = False
        display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if sys.platform.startswith("linux") and not display:
            raise SinkError("there is no display for a window (DISPLAY is not set). Write a video instead.")
        # without a working display OpenCV's window ends the process, which cannot be caught: so first
        # in a process of its own
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, check=False, timeout=30)
        if probe.returncode != 0:
            raise SinkError("the display cannot open a window. Write a video instead.")

    def write(self, image: Image, time: float = 0.0) -> None:
        """Show a picture (H,W,3) uint8 BGR. All pictures must come from one thread."""
        if not self.closed:
            cv2.imshow(self.title, image)
            self.closed = cv2.waitKey(1) & 0xFF in (ord("q"), 27)

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def draw_box(image: Image) -> tuple[float, float, float, float]:
    """The box (left, top, right, bottom, in pixels) that the user draws on a picture in a window. Raises UsageError
    where there is no display or no box was drawn."""
    title = "vision follow: draw a box, then press Enter"
    try:
        with Window(title):
            # OpenCV's own has a bar that grows with the mouse's position, and the picture jumps
            cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
            x, y, w, h = cv2.selectROI(title, image, showCrosshair=False, printNotice=False)
    except SinkError:
        raise UsageError("there is no display to draw a box on. Give --box x,y,w,h.") from None
    if not w or not h:
        raise UsageError("no box was drawn. Draw one, or give --box x,y,w,h.")
    return x, y, x + w, y + h
