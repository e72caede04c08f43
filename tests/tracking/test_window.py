"""The windows of `vision follow` and `vision grid --pick`: real ones, on a display of their own, with a mouse."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from screen import Screen

from vision.sinks.film import VideoWriter

pytestmark = pytest.mark.slow

GREEN, BLUE = (40, 220, 60), (255, 0, 0)    # BGR: of the object, and of the box that is drawn around it
BOX = (60, 48, 120, 96)


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
