"""The windows of `vision follow` and `vision grid --pick`: real ones, on a display of their own, with a mouse."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vision.sinks.film import VideoWriter

MISSING = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}: a display and its mouse"),
]

GREEN, BLUE = (40, 220, 60), (255, 0, 0)    # BGR: of the object, and of the box that is drawn around it
BOX = (60, 48, 120, 96)


class Screen:
    """A display without a monitor. Its picture lies in a file, in the format of `xwd`."""

    def __init__(self, folder: Path) -> None:
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


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    folder = tmp_path / "screen"
    folder.mkdir()
    one = Screen(folder)
    yield one
    one.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path) as video:
        for n in range(10):
            image = np.full((240, 320, 3), 128, np.uint8)
            left, top, right, bottom = BOX
            image[top:bottom, left + 2 * n : right + 2 * n] = GREEN
            video.write(image, n / 10)
    return path


def seen_in(screen: Screen, colour: tuple[int, int, int], process: subprocess.Popen[str]) -> list[int]:
    """Where a colour is, once it is at the same place twice."""
    last, looks = None, 0
    while process.poll() is None and looks < 300:
        now = screen.box_of(colour)
        if now is not None and now == last:
            return now
        last, looks = now, looks + 1
        if looks % 15 == 0:              # nobody manages windows here, and Qt may miss that its own is shown
            screen.hand("search", "--name", "vision", "windowunmap", "windowmap", check=False)
        time.sleep(0.2)
    raise AssertionError(f"{colour} does not come (status {process.poll()})")


def test_a_box_is_drawn_with_the_mouse(screen: Screen, clip: Path) -> None:
    """From corner to corner of what the screen shows: its place in the frame."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vision", "follow", str(clip), "-q", "--jsonl", "-"],
        env=screen.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    try:
        left, top, right, bottom = seen_in(screen, GREEN, process)
        screen.hand("mousemove", left, top, "mousedown", 1)
        screen.hand("mousemove", (left + right) // 2, (top + bottom) // 2)
        screen.hand("mousemove", right, bottom, "mouseup", 1)
        seen_in(screen, BLUE, process)
        for _ in range(60):                              # a key between two looks at the keyboard is lost
            screen.hand("key", "Return")
            try:
                process.wait(0.5)
                break
            except subprocess.TimeoutExpired:
                continue
    finally:
        process.kill()
        told, error = process.communicate()
    assert process.returncode == 0, error
    records = [json.loads(line) for line in told.splitlines()]           # and OpenCV says nothing there
    assert len(records) == 10
    assert records[0]["follow"]["objects"][0]["box"] == [pytest.approx(side, abs=1) for side in BOX]
    moved = np.subtract(records[-1]["follow"]["objects"][0]["box"], BOX)
    assert moved.tolist() == pytest.approx([18, 0, 18, 0], abs=4)


@pytest.mark.parametrize(("kind", "corners", "says"), [
    ("line", ((0, 0), (2, 2)), "--line 60,48:120,96"),
    ("box", ((2, 0), (0, 2)), "--box 60,48:120,96"),
    ("zone", ((0, 0), (2, 0), (2, 2)), "points = [[60, 48], [120, 48], [120, 96]]"),
])
def test_points_are_clicked_and_printed_as_they_are_given(
    kind: str, corners: tuple[tuple[int, int], ...], says: str, screen: Screen, clip: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vision", "grid", str(clip), "--pick", kind],
        env=screen.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    told = ""
    try:
        left, top, right, bottom = seen_in(screen, GREEN, process)
        xs, ys = (left, (left + right) // 2, right), (top, (top + bottom) // 2, bottom)
        for column, row in corners:
            screen.hand("mousemove", xs[column], ys[row], "click", 1)
            time.sleep(0.3)
        reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
        lines: list[str] = []
        reader.start()
        for key in ("Return", "Escape"):
            for _ in range(120):
                screen.hand("key", key)
                time.sleep(0.25)
                if process.poll() is not None or (key == "Return" and lines):
                    break
        reader.join(10)
        told = "".join(lines)
    finally:
        process.kill()
        process.wait()
    assert says in told
    assert process.returncode == 0
