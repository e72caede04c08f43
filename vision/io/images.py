"""Sinks for single pictures: a folder, a window."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

import cv2

from vision.errors import SinkError
from vision.io.pictures import SUFFIXES
from vision.types import Image

_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1); cv2.destroyAllWindows()"


class FrameNames:
    """File names for frames, without suffix: a picture's own, a video's with the index (`CLIP-000012`).
    Two pictures of the same name, from two folders, do not get the same."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}                # of pictures only: a video's names are its own

    def __call__(self, source: str, index: int) -> str:
        """The name for the frame `index` of `source`."""
        path = Path(source)
        numbered = f"{path.stem.strip('-') or 'frame'}-{index:06d}"
        if path.suffix.lower() not in SUFFIXES:
            return numbered
        return path.stem if self._owners.setdefault(path.stem, source) == source else numbered


class ImageFolder:
    """A folder of pictures, made if it is not there."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"the folder {str(folder)!r} cannot be made ({error.strerror}).") from error

    def write(self, image: Image, name: str) -> None:
        """Write a picture (H,W,3) uint8 BGR; the name's suffix is the format (.png, .jpg, .webp, ...)."""
        path = self.folder / name
        try:
            whole, data = cv2.imencode(path.suffix, image)
        except cv2.error:
            whole = False
        if not whole:
            raise SinkError(f"{path.suffix!r} is no picture format that can be written. Use .png or .jpg.")
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            if path.is_file():
                path.unlink()                            # half a picture is of no use
            raise SinkError(f"{str(path)!r} cannot be written ({error.strerror}).") from error

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
