"""`vision webcam` in a real window: keys change the plan, a recording plays, a missing camera is waited for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from portrait import portrait
from screen import Screen

from vision import VideoWriter, read
from vision.cli.webcam import page
from vision.drawing import colour
from vision.steps.plan import plan_of

PANEL = (32, 28, 26)                                     # BGR: below the picture


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of a person, 320x240; the photograph is scikit-image's."""
    path = tmp_path_factory.mktemp("clip") / "person.mp4"
    with VideoWriter(path) as film:
        for n in range(500):
            film.write(portrait((320, 240)), n / 8)
    return path


def started(screen: Screen, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    screen.hand("mousemove", 100, 100)                   # keys go to the window under the mouse
    return subprocess.Popen(
        [sys.executable, "-m", "vision", "webcam", *arguments, "-o", str(folder)], text=True, stderr=subprocess.PIPE,
        env=screen.environment)


def until(screen: Screen, process: subprocess.Popen[str], true: Callable[[], object], *keys: str) -> None:
    """Wait for something that keys bring about; where they are lost between two looks at the keyboard, again."""
    end, looks = time.monotonic() + 90, 0
    while not true():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end, "it does not come"
        if keys and looks % 15 == 0:
            screen.hand("key", *keys)
        elif not keys and looks % 8 == 7:        # nobody manages windows here, and Qt may miss that its own is shown
            screen.hand("search", "--name", "vision", "windowunmap", "windowmap", check=False)
        looks += 1
        time.sleep(0.3)


def quit(screen: Screen, process: subprocess.Popen[str]) -> str:
    """Press q until it ends; what it said."""
    try:
        for _ in range(100):
            if process.poll() is not None:
                break
            screen.hand("key", "q")
            time.sleep(0.3)
    finally:
        process.kill()
    assert process.stderr is not None
    return process.stderr.read()


def told(folder: Path) -> list[str]:
    """The lines of records that are there in whole: a run that goes on may be in the middle of its last one."""
    return [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")]


def has_colour(screen: Screen, bgr: tuple[int, int, int]) -> bool:
    return screen.box_of(bgr) is not None


@pytest.mark.slow
def test_keys_change_what_is_looked_for_and_a_recording_plays(screen: Screen, clip: Path, tmp_path: Path) -> None:
    process = started(screen, tmp_path, str(clip), "--do", "detect")

    def last() -> str:
        return (told(tmp_path) or [""])[-1]

    try:
        until(screen, process, lambda: has_colour(screen, colour(0)))   # the box of the person
        until(screen, process, last, "r")
        until(screen, process, lambda: '"faces"' in last() and '"detect"' in last(), "d", "plus", "f")
        until(screen, process, lambda: list(tmp_path.glob("*.json")), "w")
    finally:
        quit(screen, process)
    assert process.returncode == 0
    path = next(path for path in sorted(tmp_path.glob("*.jsonl")) if path.stat().st_size)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert "detect" in records[0]
    assert "faces" not in records[0]
    assert {"detect", "faces"} <= records[-1].keys()                     # together, on one source
    assert records[-1]["frame"] > records[0]["frame"]
    assert len(list(read(path.with_suffix(".mp4")))) == len(records)
    snapshot = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert "faces" in snapshot


@pytest.mark.slow
def test_every_key_does_what_it_says(screen: Screen, tmp_path: Path) -> None:
    film = tmp_path / "person.mp4"
    with VideoWriter(film) as out:
        for n in range(720):
            out.write(portrait((320, 240)), n / 4)
    process = started(screen, tmp_path, str(film), "--do", "detect")
    tasks = {"d", "t", "i", "s", "f", "p", "a", "c"}
    made_of = {"d": {"detect"}, "t": {"detect", "track"}, "i": {"instances"}, "s": {"segment"}, "f": {"faces"},
               "p": {"pose"}, "a": {"action"}, "c": {"classify"}}
    known = set().union(*made_of.values())

    def lines() -> list[str]:
        return told(tmp_path)

    def now() -> set[str]:
        return known & json.loads(lines()[-1]).keys()

    try:
        until(screen, process, lambda: has_colour(screen, colour(0)))
        before = screen.box_of(colour(0))
        until(screen, process, lambda: turned(screen.box_of(colour(0)), before), "m")
        until(screen, process, lines, "r")
        for key in [*sorted(tasks - {"d"}), "d"]:
            until(screen, process, lambda key=key: now() == made_of[key], key)               # it alone
        until(screen, process, lambda: now() == {"detect", "classify"}, "plus", "c")
        until(screen, process, lambda: now() == {"classify"}, "plus", "d")                   # without it
        until(screen, process, lambda: stands(lines), "space")
        until(screen, process, lambda: not stands(lines), "space")
        until(screen, process, lambda: list(tmp_path.glob("*.png")), "w")
        screen.hand("key", "Escape")
        for _ in range(100):
            if process.poll() is not None:
                break
            time.sleep(0.1)
    finally:
        quit(screen, process)
    assert process.returncode == 0


def turned(box: tuple[int, ...] | None, before: tuple[int, ...] | None) -> bool:
    """Whether a box stands as far from the right as it stood from the left."""
    return box is not None and before is not None and abs(box[0] - before[0]) > 20


def stands(lines: Callable[[], list[str]]) -> bool:
    """Whether no record comes for a second and a half."""
    count = len(lines())
    time.sleep(1.5)
    return len(lines()) == count


def test_the_line_says_plan_models_rate_delay_and_what_was_skipped() -> None:
    class Watch:
        plan, name, skipped, status = tuple(plan_of(["detect"])), "camera 0", 7, ""

    class Seen:
        frame = type("Frame", (), {"captured": time.monotonic() - 0.05})
        keys = ("detect", "track")

        def about(self, key: str) -> dict[str, str]:
            return {"model": "box", "backend": "openvino"} if key == "detect" else {"model": "own"}

        def __iter__(self) -> object:
            return iter(self.keys)

    webcam = page("webcam.window").Webcam(Watch(), plan_of, Path(), mirror=False)
    assert webcam.line() == "camera 0"
    for _ in range(3):
        webcam.take(Seen())
        time.sleep(0.02)
    line = r"detect \+ track   box openvino own   (\d+)/s   (\d+) ms, 95 %: (\d+)   7 skipped"
    said = re.fullmatch(line, webcam.line())
    assert said
    rate, half, most = map(int, said.groups())
    assert 5 < rate < 60
    assert 50 <= half <= most < 500
    webcam.press(" ")
    assert webcam.line().endswith("7 skipped  paused")


@pytest.mark.slow
def test_a_camera_that_is_missing_is_waited_for(screen: Screen, tmp_path: Path) -> None:
    process = started(screen, tmp_path, "9")
    try:
        until(screen, process, lambda: has_colour(screen, PANEL))
        assert process.poll() is None
    finally:
        said = quit(screen, process)
    assert process.returncode == 0
    assert "camera '9' cannot be opened" in said
    assert "waited for" in said


def test_a_letter_after_a_plus_adds_a_task_or_takes_it_away() -> None:
    class Watch:
        plan = tuple(plan_of(["track"]))

    webcam = page("webcam.window").Webcam(Watch(), plan_of, Path(), mirror=False)
    assert webcam.tasks("faces") == ["detect", "track", "faces"]
    assert webcam.tasks("track") == ["detect"]
    assert webcam.tasks("detect") == ["detect", "track"]                 # nothing would be left: all stays


def test_a_mirror_turns_what_is_drawn_and_no_text() -> None:
    from vision import Detections, Frame, Item, Style
    from vision.steps import Ready, Step

    class Boxes(Step):
        names = ("thing",)

        def begin(self, frame: Frame, sofar: object) -> Ready:
            raise NotImplementedError

    image = np.zeros((240, 320, 3), np.uint8)
    image[:, :160] = 90
    found = Detections([[20, 100, 80, 200]], [0.9], [0])
    plain = Item(Frame(image, 0, 0.0), {"detect": found}, [Boxes("detect")], Style(labels=("none",)))
    assert (plain.mirrored[:, ::-1] == plain.drawn).all()
    labelled = Item(Frame(image, 0, 0.0), {"detect": found}, [Boxes("detect")])
    boxes = [np.argwhere((one == (180, 119, 31)).all(axis=2)) for one in (labelled.drawn, labelled.mirrored)]
    assert boxes[0][:, 1].max() < 160 < boxes[1][:, 1].min()             # on the other side
    at = [(points[:, 0].min(), points[:, 1].min()) for points in boxes]
    corner = [one[y: y + 14, x: x + 60] for one, (y, x) in zip((labelled.drawn, labelled.mirrored), at, strict=True)]
    ink = [(part > 240).all(axis=2).sum() for part in corner]
    assert ink[0] > 20
    assert ink[1] > 20                                                   # a label, which can be read
