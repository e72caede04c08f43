"""A window that shows what a run sees."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

import cv2
import numpy as np

from vision.drawing import label
from vision.errors import SinkError, UsageError
from vision.sinks.base import Sink, SinkSpec
from vision.spec import Option, spec
from vision.types import Image

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec

_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1); cv2.destroyAllWindows()"
_ANSWER_S = 30.0                                         # that a display has to answer


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


def check_display() -> None:
    """Raise SinkError where no window can be opened."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not display:
        raise SinkError("there is no display for a window (DISPLAY is not set). Write a video instead.")
    # without a working display OpenCV's window ends the process, which cannot be caught: so first
    # in a process of its own
    try:
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, check=False, timeout=_ANSWER_S)
    except subprocess.TimeoutExpired:
        raise SinkError(f"the display does not answer within {_ANSWER_S:g} s. Write a video instead.") from None
    if probe.returncode != 0:
        raise SinkError("the display cannot open a window. Write a video instead.")


class Window:
    """A window that shows pictures; `closed` once the user closed it or pressed q or Esc, after which pictures are
    not shown any more. SinkError where no window can be opened."""

    def __init__(self, title: str = "vision") -> None:
        self.title = title
        self.closed = self._there = False
        check_display()

    def write(self, image: Image, time: float = 0.0) -> None:
        """Show a picture (H,W,3) uint8 BGR. All pictures must come from one thread."""
        self.show(image)
        self.key()

    def show(self, image: Image) -> None:
        """As `write`; what is pressed waits for `key`."""
        if not self._there:                              # OpenCV's own bar of tools is left out
            cv2.namedWindow(self.title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
        if not self.closed:
            cv2.imshow(self.title, image)
            self._there = True

    def key(self, wait: float = 0.001) -> str:
        """The key that is pressed within so many seconds; empty where none is, and for q and Esc, which close."""
        if self.closed:
            return ""
        code = cv2.waitKey(max(1, round(wait * 1000))) & 0xFF
        gone = self._there and cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) < 1
        self.closed = self.closed or gone or code in (ord("q"), 27)
        return "" if self.closed or code == 255 else chr(code)

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_PANEL, _TEXT, _FAINT = (32, 28, 26), (240, 238, 236), (170, 162, 158)       # BGR


def captioned(image: Image, lines: Sequence[str]) -> Image:
    """A picture (H,W,3) with lines of text below it, the first one bright: as wide as the picture. A line that is too
    long for it is cut."""
    size = max(12, min(20, image.shape[1] // 46))                # of letters, in pixels
    step = round(size * 1.7)
    panel = np.full((step * len(lines) + size // 2, image.shape[1], 3), _PANEL, np.uint8)
    face = cv2.FontFace("sans")
    for n, line in enumerate(lines):
        cv2.putText(panel, line, (size // 2, step * n + round(size * 1.3)), _FAINT if n else _TEXT, face, size)
    return np.concatenate([image, panel])


_LEAST = {"line": 2, "box": 2, "zone": 3}       # points
_INK = (255, 0, 0)                              # BGR
_LARGEST_WH = 1600, 900                         # a larger picture is shown smaller


def pick(
    image: Image, kind: Literal["line", "zone", "box"], title: str = "vision: click, then press Enter"
) -> list[tuple[int, int]]:
    """The points that the user clicks on a picture (H,W,3) in a window, in its pixels: the two ends of a line or the
    upper left and lower right corner of a box, which may be dragged too, or the corners of a zone. Enter takes them,
    Backspace takes one back; q, Esc and closing the window give none. Raises SinkError where there is no display."""
    height, width = image.shape[:2]
    scale = min(1.0, _LARGEST_WH[0] / width, _LARGEST_WH[1] / height)
    shown = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    points: list[tuple[int, int]] = []
    mouse = [(0, 0)]

    def heard(event: int, x: int, y: int, flags: int, data: object) -> None:
        mouse[0] = x, y
        dragged = len(points) == 1 and kind != "zone" and max(abs(x - points[0][0]), abs(y - points[0][1])) > 4
        if event == cv2.EVENT_LBUTTONDOWN or (event == cv2.EVENT_LBUTTONUP and dragged):
            if kind != "zone" and len(points) == 2:
                points.clear()
            points.append((x, y))

    with Window(title):
        # OpenCV's own has a bar that grows with the mouse's position, and the picture jumps
        cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
        cv2.setMouseCallback(title, heard)
        while True:
            cv2.imshow(title, _marked(shown, kind, points, mouse[0], scale))
            key = cv2.waitKey(20) & 0xFF
            if key in (10, 13) and len(points) >= _LEAST[kind]:
                break
            if key in (8, 127) and points:
                points.pop()
            if key in (ord("q"), 27) or cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1:
                return []
    if kind == "box":
        corners = np.array(points)
        points = [tuple(corners.min(axis=0).tolist()), tuple(corners.max(axis=0).tolist())]
    return [(round(x / scale), round(y / scale)) for x, y in points]


def _marked(shown: Image, kind: str, points: list[tuple[int, int]], mouse: tuple[int, int], scale: float) -> Image:
    """The picture with what was clicked so far, and where the mouse is."""
    image, ends = shown.copy(), [*points, mouse] if len(points) < 2 or kind == "zone" else points
    if kind == "box" and points:
        cv2.rectangle(image, ends[0], ends[1], _INK, 2)
    elif points:
        cv2.polylines(image, [np.array(ends, np.int32)], kind == "zone", _INK, 2, cv2.LINE_AA)
    x, y = mouse
    label(image, f"{x / scale:.0f},{y / scale:.0f}", (x + 12, y - 4), _INK)
    return image


def draw_box(image: Image) -> tuple[float, float, float, float]:
    """The box (left, top, right, bottom, in pixels) that the user draws on a picture in a window. Raises UsageError
    where there is no display or no box was drawn."""
    points = pick(image, "box", "vision follow: draw a box, then press Enter")
    if not points or points[0][0] == points[1][0] or points[0][1] == points[1][1]:
        raise UsageError("no box was drawn. Draw one, or give --box x,y,w,h.")
    return (*points[0], *points[1])
