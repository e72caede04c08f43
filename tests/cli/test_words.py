"""What the command line says: help, hints, errors in one line, what was found."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer.main

import vision
from vision.cli import MODULES, app, hints, main, whole
from vision.drawing import Style
from vision.item import Item
from vision.sinks.film import VideoWriter
from vision.steps.base import Step
from vision.tally import Tally
from vision.types import Action, Detections, Frame, Tracks


def vision_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """The exit code of `vision ARGUMENTS`, run in this process."""
    monkeypatch.setattr(sys, "argv", ["vision", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def leaves(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its whole name, made with all of its options."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        command = command if above or command.hidden else whole(name)
        if hasattr(command, "list_commands"):
            yield from leaves(command, f"{above}{name} ")
        elif not command.hidden:
            yield above + name, command


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path) as out:
        for i in range(5):
            out.write(np.full((240, 320, 3), 40 * i, np.uint8), i * 0.1)
    monkeypatch.chdir(tmp_path)
    return path


def lacking(command: Any, words: list[str]) -> list[str]:
    """The names of what a command cannot do without, and these words do not give; no value is looked at."""
    given, _, _ = command.make_parser(typer.Context(command)).parse_args(list(words))
    return [param.name for param in command.params if param.required and not given.get(param.name)]


def test_every_command_has_two_examples_whose_options_there_are() -> None:
    seen = set()
    for path, command in leaves(typer.main.get_command(app)):
        lines = hints.examples(path)
        assert len(lines) >= 2, f"vision {path} has no two examples"
        options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        for line in lines:
            assert line.startswith(f"vision {path}")
            for word in re.findall(r"(?<=\s)--?[a-z][\w.-]*", line.split("|")[0]):
                assert word in options, f"{word} of: {line}"
            words = shlex.split(line.split("|")[0])[1 + len(path.split()):]
            assert lacking(command, words) == [], line
        seen.update(lines)
    every = (Path(hints.__file__).parent / "examples.txt").read_text().splitlines()
    assert set(every) - seen == {"vision models", "vision models --json"}      # of the group itself


def test_help_lists_every_module_by_the_first_sentence_of_its_own_help() -> None:
    for name, line in MODULES.items():
        own = whole(name).get_short_help_str(500)
        assert line == own.split(". ")[0].rstrip(".") + ".", name
    group = typer.main.get_command(app)
    listed = group.list_commands(typer.Context(group))
    assert listed[:2] == ["run", "detect"]
    assert set(MODULES) < set(listed)


@pytest.mark.parametrize("arguments", [
    ["-h"], ["detect", "-h"], ["track", "--help"], ["eval", "detect", "-h"], ["grid", "-h"],
])
def test_help_is_whole_in_80_columns(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert vision_cli(monkeypatch, *arguments) == 0
    told = capsys.readouterr().out
    assert "Usage: vision" in told
    if len(arguments) > 1:
        assert told.count(f"vision {' '.join(arguments[:-1])} ") >= 3        # usage, and two examples
    if arguments[0] in ("detect", "track"):
        assert "<float" not in told
        assert re.search(r"--max-frames\s+<n>\s+read at most so many frames", told)
        assert re.search(r"\[default:\s", told)
        columns = [line.split(">", 1)[1] for line in told.splitlines() if re.match(r"│ --\S+\s+(-\w)?\s+<", line)]
        assert min(map(len, columns)) >= 24                                  # room for the explanation


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert vision_cli(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"vision {vision.__version__}\n"


def test_shells_complete_commands_and_the_options_of_each() -> None:
    def completed(words: str, which: int) -> list[str]:
        asked = {"_VISION_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(which)}
        done = subprocess.run([sys.executable, "-m", "vision"], env={**os.environ, **asked}, capture_output=True,
                              text=True, check=False)
        return done.stdout.split()

    assert completed("vision tr", 1) == ["track", "train"]
    assert completed("vision detect --max", 2) == ["--max-detections", "--max-iou", "--max-frames", "--max-latency"]


@pytest.mark.parametrize(("arguments", "says"), [
    (["predict", "x.mp4"], "Here it is: vision detect, segment or classify."),
    (["dtect", "x.mp4"], "Nearest: detect, text."),
    (["detect", "source=x.mp4"], "Write x.mp4."),
    (["detect", "clip.mp4", "min_score=0.4"], "Write --min-score 0.4."),
    (["detect", "clip.mp4", "conf=0.4"], "Here it is --min-score."),
    (["detect", "clip.mp4", "--conf", "0.4"], "Here it is --min-score."),
    (["detect", "clip.mp4", "--imgsz", "640"], "any size"),
    (["detect", "clip.mp4", "--line-width", "3"], "Lines are as wide as the size of the picture asks."),
    (["detect", "clip.mp4", "--start", "1:-30"], "--start is a time such as 90, 1:30, 0.5s or 100ms; got '1:-30'."),
    (["detect", "clip.mp4", "--show.title", "hi"], "--show.title is an option of --show, which was not given"),
    (["detect", "clip.mp4", "--mcap.frame-id", "a"], "--mcap.frame-id is an option of --mcap FILE, which was not giv"),
    (["track", "clip.mp4", "--track.on", ""], "'track' needs the results of a step before it: give that step's key"),
    (["detect", "clip.mp4", "--max-frame", "3"], "Nearest: --max-frames"),
    (["track", "clip.mp4", "--save-txt"], "Here it is --yolo FOLDER."),
    (["detect", "clip.mp4", "--stride", "two"], "'--stride'"),
    (["detect", "clip.mp4", "--stride", "0"], "UsageError: --stride is at least 1; got 0."),
    (["track", "clip.mp4", "--min-score", "2"], "UsageError: --min-score is at least 0 and at most 1; got 2.0."),
    (["detect"], "missing argument 'SOURCE'. See: vision detect --help"),
    (["detect", "clip.mp4", "--labels", "nmae"], "Nearest: name"),
    (["segment", "clip.mp4", "--model", "segnett"], "segnet-mobilenetv2-camvid"),
    (["detect", "clip.mp4", "--model", "fasterrcnn"], "fasterrcnn-resnet50"),
    (["detect", "a.mp4", "b.mp4", "-o", "both.mp4"], "Several sources need a folder."),
    (["count", "clip.mp4"], "nothing to count at"),
    (["follow", "clip.mp4"], "`vision grid SOURCE` helps"),
    (["detect", "missing.mp4"], "there is no 'missing.mp4'"),
    (["eval", "classify", "--data", "missing.csv"], "'missing.csv'"),
    (["eval", "action", "--data", "missing"], "missing"),
    (["eval", "track", "missing"], "missing"),
    (["eval", "segment", "--data", "missing"], "missing"),
    (["eval", "landmarks", "--data", "missing.csv"], "missing.csv"),
    (["eval", "detect", "--data", "missing.json"], "missing.json"),
    (["detect", "clip.mp4", "--device", "cuda:7"], "nothing here runs 'nanodet-g'"),
    (["grid", "clip.mp4", "--at", "100"], "no frame at 100 s"),
    (["grid", "clip.mp4", "-o", "x.mp4"], "-o is a .png"),
])
def test_a_mistake_is_one_line_with_what_to_do(
    arguments: list[str], says: str, clip: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And nothing is loaded before it is noticed: no line says what runs where."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert vision_cli(monkeypatch, *arguments) in (1, 2)
    told = capfd.readouterr()
    assert told.out == ""
    [line] = told.err.splitlines()
    assert says in line


def test_who_has_seen_enough_is_no_error(clip: Path) -> None:
    for arguments in (["probe", *[str(clip)] * 30], ["--help"], ["models"]):
        process = subprocess.Popen([sys.executable, "-m", "vision", *arguments], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_ctrl_c_while_importing_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    place = os.pathsep.join([str(tmp_path), str(Path(vision.__file__).parents[1])])
    done = subprocess.run([sys.executable, "-m", "vision", "--help"], env={**os.environ, "PYTHONPATH": place},
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_grid_has_lines_at_round_coordinates(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vision_cli(monkeypatch, "grid", clip, "--at", "0.1") == 0
    image = cv2.imread("clip-grid.png").astype(int)
    assert image.shape == (240, 320, 3)
    yellow = (image[..., 1] - image[..., 0]) > 60
    assert np.flatnonzero(yellow[60:70].all(axis=0)).tolist() == [50, 100, 150, 200, 250, 300]
    assert np.flatnonzero(yellow[20:220, 85:95].all(axis=1)).tolist() == [30, 80, 130, 180]
    assert vision_cli(monkeypatch, "grid", clip, "--step", "80", "-o", "g.png") == 0
    yellow = np.diff(cv2.imread("g.png").astype(int)[..., :2], axis=2)[..., 0] > 60
    assert np.flatnonzero(yellow[90:110].all(axis=0)).tolist() == [80, 160, 240]


class Says(Step):
    """A step that has its result from the test."""

    def __init__(self, key: str, names: tuple[str, ...]) -> None:
        super().__init__(key)
        self.names = names

    def begin(self, frame: Frame, sofar: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(("key", "names", "results", "says"), [
    ("detect", ("person", "car"), [Detections([[0, 0, 9, 9]] * 3, [0.9] * 3, [0, 0, 1]), Detections.empty()],
     ["detect: person 2, car 1"]),
    ("detect", ("person", "car"), [Detections.empty()], ["detect: no object in 1 frame"]),
    ("faces", ("face",), [Detections.empty()] * 200, ["faces: no face in 200 frames"]),
    ("track", ("person", "car"), [Tracks([[0, 0, 9, 9]] * 2, [0.9] * 2, [0, 1], [1, 2], [0.0] * 2, [0, 1])] * 3,
     ["track: 1 person, 1 car"]),
    ("detect", tuple("abcdefghij"), [Detections([[0, 0, 9, 9]] * 10, [0.9] * 10, list(range(10)))],
     ["detect: a 1, b 1, c 1, d 1, e 1, f 1, g 1, h 1, and 2 more"]),
    ("action", ("crawl", "punch"), [Action([0.1, 0.9], 1, 0.0, 1.0)],
     ["action: punch 1", "action: the model knows crawl, punch, and nothing else"]),
    ("action", ("crawl", "none"), [Action([0.1, 0.9], -1, 0.0, 1.0)],
     ["action: no action in 1 frame", "action: the model knows crawl, and nothing else"]),
])
def test_the_end_says_what_was_found(key: str, names: tuple[str, ...], results: list[Any], says: list[str]) -> None:
    tally, step = Tally(), Says(key, names)
    for n, result in enumerate(results):
        tally.add(Item(Frame(np.zeros((9, 9, 3), np.uint8), n, n / 10, "x"), {key: result}, [step], Style()))
    assert tally.lines() == says
    again = Tally()
    again.restore(tally.state())
    assert [line for line in again.lines() if " no " not in line and "knows" not in line] == [
        line for line in says if " no " not in line and "knows" not in line]
