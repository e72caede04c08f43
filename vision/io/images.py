"""Sinks for single pictures: a folder, a window."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

import cv2

from vision.errors import SinkError
from vision.files import make_folder, write_whole
from vision.io.pictures import SUFFIXES
from vision.types import Image

_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1); cv2.destroyAllWindows()"


class FrameNames:
    """File names for frames, without suffix, no two alike: a picture's own (`IMAGE`), a video's with the
    index (`CLIP-000012`), and so an animation's after its first. Of two sources of the same name, from
    two folders, the second is `IMAGE-2`, `CLIP-2-000012`."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._given: dict[str, tuple[str, int]] = {}     # a source: its name, and its first frame

    def __call__(self, source: str, index: int) -> str:
        """The name for the frame `index` of `source`."""
        picture = Path(source).suffix.lower() in SUFFIXES
        if source not in self._given:
            stem = Path(source).stem
            name = stem if picture else stem.strip("-") or "frame"
            self._given[source] = distinct(name, self._taken), index
        name, first = self._given[source]
        return name if picture and index == first else f"{name}-{index:06d}"


def distinct(name: str, taken: set[str], tail: str = "") -> str:
    """`name` + `tail`, with a number between them where that is taken; it is taken then."""
    given, count = f"{name}{tail}", 1
    while given in taken:
        count += 1
        given = f"{name}-{count}{tail}"
    taken.add(given)
    return given


class ImageFolder:
    """A folder of pictures, made if it is not there."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        make_folder(self.folder)

    def write(self, image: Image, name: str) -> None:
        """Write a picture (H,W,3) uint8 BGR; the name's suffix is the format (.png, .jpg, .webp, ...)."""
        path = self.folder / name
        try:
            whole, data = cv2.imencode(path.suffix, image)
        except cv2.error:
            whole = False
        if not whole:
            raise SinkError(f"{path.suffix!r} is no picture format that can be written. Use .png or .jpg.")
        write_whole(path, data.tobytes())

    def close(self) -> None:
        """Nothing stays open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


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
