"""`vision webcam` in a real window: keys change the plan, a recording plays, a missing camera is waited for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cameras import Nth
from portrait import portrait
from screen import Screen

from vision import Detect, FindFaces, Spec, Track, VideoWriter, Watch, read
from vision.cli.webcam import page, planned_of
from vision.drawing import colour
from vision.steps.plan import checked_plan, plan_of, read_plan

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
        until(screen, process, lambda: now() == {"detect", "classify"}, "d", "plus", "c")    # anew where one is lost
        until(screen, process, lambda: now() == {"classify"}, "d", "plus", "c", "plus", "d")         # without it
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


class Switched:
    """A watch that loads for ever what it was asked for."""

    plan = ()

    def __init__(self, plan: Sequence[Spec]) -> None:
        self.switch(plan)

    def switch(self, plan: Sequence[Spec]) -> None:
        self.wanted = tuple(checked_plan(list(plan)))


def pressed(watch: Switched, keys: str, planned: Callable[[Sequence[str]], list[Spec]] = plan_of) -> str:
    """What the window says after these keys."""
    webcam = page("webcam.window").Webcam(watch, planned, Path(), mirror=False)
    for key in keys:
        webcam.press(key)
    return str(webcam.said)


def test_a_letter_after_a_plus_adds_a_task_or_takes_it_away() -> None:
    for keys, left in (("+f", ["detect", "track", "faces"]), ("+t", ["detect"]), ("+d", ["detect", "track"])):
        watch = Switched(plan_of(["track"]))             # without the boxes nothing would be left: all stays
        assert pressed(watch, keys) == ""
        assert [one.key for one in watch.wanted] == left
    watch = Switched(plan_of(["drive"]))
    before = watch.wanted
    assert pressed(watch, "+f+f") == ""
    assert watch.wanted == before                          # as it was, with the detector that it brought
    assert before[0] == Detect("gfl-voc", weak=0.1, weak_asked=True)
    watch = Switched([Detect(key="mine", min_score=0.4)])
    assert pressed(watch, "+t") == ""
    assert [one.key for one in watch.wanted] == ["mine", "detect", "track"]


def test_keys_keep_the_steps_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[[do]]\ntask = "instances"\nevery = 2\n[[do]]\ntask = "track"\n'
                                        'on = "instances"\nlost_after = 3.0\n')
    own = read_plan(tmp_path / "plan.toml")
    watch = Switched(own)
    planned = partial(planned_of, own)
    for keys, left in (("t", own), ("+f", [*own, FindFaces()]), ("i", own[:1]), ("+t", own), ("d", [Detect()])):
        assert pressed(watch, keys, planned) == ""
        assert list(watch.wanted) == checked_plan(list(left))


def test_a_key_whose_plan_is_not_possible_is_told_and_what_runs_goes_on() -> None:
    watch = Switched([Detect()])
    assert pressed(watch, "t", lambda names: [Track(on="boxes")]) == (
        "'track' needs the results of 'boxes', which is not in the plan before it (nothing is). Add it: boxes(), or "
        "--do boxes,track.")
    assert list(watch.wanted) == [Detect()]


class Keys:
    """In place of a window: a key at each look, the last of them an error where it is one."""

    closed = False

    def __init__(self, watch: Watch, keys: dict[int, str | type[BaseException]]) -> None:
        self.watch, self.keys = watch, keys              # by how many items there were

    def __enter__(self) -> Keys:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def show(self, image: np.ndarray) -> None:
        pass

    def key(self) -> str:
        due = [count for count in self.keys if count <= self.watch.count]
        key = self.keys.pop(due[0]) if due else ""
        if not isinstance(key, str):
            raise key
        return key


@pytest.mark.parametrize("ends", ["r", KeyboardInterrupt])
def test_a_recording_is_of_what_was_seen_however_it_ends(
    ends: str | type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, source = tmp_path / "silent.mp4", tmp_path / "source.mp4"
    with VideoWriter(silent) as film:
        for n in range(60):
            film.write(np.full((48, 64, 3), n, np.uint8), n / 40)
    with_sound(silent, source)
    window = page("webcam.window")
    (tmp_path / "out").mkdir()
    with Watch(source, [Nth()]) as watch, suppress(KeyboardInterrupt):
        assert watch.info.audio == "aac"
        keys = Keys(watch, {20: "r", 40: ends, 45: KeyboardInterrupt})
        monkeypatch.setattr(window, "Window", lambda title: keys)
        window.show(watch, plan_of, tmp_path / "out", mirror=False)
    (path,) = (tmp_path / "out").glob("*.jsonl")
    times = [json.loads(line)["time_s"] for line in told(tmp_path / "out")]
    assert times[0] >= 0.45
    with read(path.with_suffix(".mp4")) as film:
        assert film.info.audio is None
        assert [frame.time for frame in film] == pytest.approx(np.subtract(times, times[0]), abs=1e-3)
        assert film.info.duration == pytest.approx(times[-1] - times[0], abs=0.15)
    assert sorted(one.suffix for one in (tmp_path / "out").iterdir()) == [".jsonl", ".mp4"]


def with_sound(silent: Path, path: Path) -> None:
    """The film again, with silence."""
    with av.open(str(silent)) as film, av.open(str(path), "w") as out:
        video: Any = out.add_stream_from_template(film.streams.video[0])
        audio: Any = out.add_stream("aac", rate=8000, layout="mono")
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = video
                out.mux(packet)
        for n in range(12):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), "fltp", "mono")
            silence.sample_rate, silence.pts = 8000, n * 1000
            out.mux(audio.encode(silence))
        out.mux(audio.encode(None))


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
