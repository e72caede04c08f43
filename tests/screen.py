"""A display without a monitor, with a mouse and keys."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

MISSING = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]


class Screen:
    """A display without a monitor. Its picture lies in a file, in the format of `xwd`."""

    def __init__(self, folder: Path) -> None:
        if MISSING:
            pytest.skip(f"needs {' and '.join(MISSING)}: a display and its mouse (`make system`)")
        read, write = os.pipe()
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-fbdir", str(folder),
             "-nolisten", "tcp", "-noreset"],
            pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as told:
            number = told.readline().strip()             # nothing where the server could not start
        if not number:
            pytest.skip(f"Xvfb does not start here (status {self._server.wait()})")
        self.display, self._file = f":{number}", folder / "Xvfb_screen0"

    def picture(self) -> np.ndarray:
        """(600,800,3) BGR."""
        data = self._file.read_bytes()
        header, *rest = struct.unpack(">25I", data[:100])
        width, height, line, colours = rest[3], rest[4], rest[11], rest[18]
        pixels = np.frombuffer(data, np.uint8, height * line, header + 12 * colours)
        return pixels.reshape(height, line)[:, : 4 * width].reshape(height, width, 4)[..., :3]

    def box_of(self, colour: tuple[int, int, int]) -> list[int] | None:
        """Left, top, right, bottom of what has this colour."""
        there = np.argwhere((np.abs(self.picture().astype(int) - colour) < 30).all(axis=2))
        if len(there) < 100:
            return None
        (top, left), (bottom, right) = there.min(axis=0).tolist(), there.max(axis=0).tolist()
        return [left, top, right + 1, bottom + 1]

    def hand(self, *what: object, check: bool = True) -> None:
        """Move the mouse or press a key, as `xdotool` names it."""
        subprocess.run(["xdotool", *map(str, what)], env=self.environment, check=check, timeout=20)

    @property
    def environment(self) -> dict[str, str]:
        others = {k: v for k, v in os.environ.items() if k not in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
        return others | {"DISPLAY": self.display}

    def close(self) -> None:
        self._server.terminate()
        self._server.wait(timeout=20)
