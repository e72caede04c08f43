"""Python is the command line; and a run that is killed goes on, byte for byte, where it was."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vision import Detect, Follow, JsonLines, Run, SaveFrames, Track, VideoFile, VideoWriter, YoloText, read, state
from vision.checkpoint import Checkpoint
from vision.cli.run import task_command
from vision.errors import DataError, SinkError, StepError, UsageError, VisionError
from vision.spec import options
from vision.steps import TASKS
from vision.steps.follow import FollowStep
from vision.steps.plan import plan_of
from vision.types import Frame

PINNED = ("--backend", "openvino", "--precision", "fp32")
EXTRA = {"count": ["--line", "80,0,80,120"], "follow": ["--box", "20,20,40,60"]}
LINE = {"line": ("80,0,80,120",)}
ARGUMENTS = {"count": LINE, "follow": {"box": "20,20,40,60"}}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A textured square that crosses a noisy picture; 90 frames at uneven times."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    with VideoWriter(path) as out:
        for i in range(90):
            image = cv2.GaussianBlur(noise, (0, 0), 6)
            image[20:80, 10 + i : 50 + i] = noise[20:80, 10:50]
            out.write(image, i / 10 + (i % 3) / 100)
    return path


def vision(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vision", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **more)


@pytest.mark.slow
@pytest.mark.parametrize("task", list(TASKS))
def test_records_in_python_are_those_of_the_command(task: str, clip: Path, tmp_path: Path) -> None:
    out, people = tmp_path / "cli.jsonl", tmp_path / "people"
    (people / "Eileen").mkdir(parents=True)
    package = find_spec("skimage")
    assert package is not None
    shutil.copy(Path(package.submodule_search_locations[0]) / "data/astronaut.png", people / "Eileen")
    options = {**EXTRA, "identify": ["--gallery", people]}
    done = vision(task, clip, "--max-frames", 40, "--jsonl", out, "-q", *PINNED, *options.get(task, []))
    assert done.returncode == 0, done.stderr
    arguments = {**ARGUMENTS, "identify": {"gallery": people}}
    plan = [replace(one, **arguments.get(one.task, {})) for one in plan_of([task])]
    where = {"backend": "openvino", "precision": "fp32"}
    with Run(read(clip, max_frames=40), plan, [JsonLines(tmp_path / "py.jsonl")], **where) as run:
        run.finish()
    assert (tmp_path / "py.jsonl").read_bytes() == (tmp_path / "cli.jsonl").read_bytes()
    assert len((tmp_path / "py.jsonl").read_text().splitlines()) == 40


def test_help_and_docstring_say_the_same() -> None:
    """The option of a command is the field of the spec: name, default, unit and help."""
    notes = [p.annotation.__metadata__[0] for p in task_command("track").__signature__.parameters.values()]
    helps = {decl: note.help for note in notes for decl in (note.default, *(note.param_decls or ()))}
    told = re.findall(r"^(\w+): (.*?)\.$", (Track.__doc__ or "").split("\n\n", 1)[1].replace("\n    ", " "), re.M)
    assert [name for name, _ in told] == [field.name for field in options(Track)]
    for (name, said), field in zip(told, options(Track), strict=True):
        assert said == field.option.text
        shown = helps[f"--track.{name.replace('_', '-')}"].removeprefix(field.option.help)      # unit, choices, default
        assert re.fullmatch(r"( \([\w, .]+\))?( \\\[default: .*\])?", shown), name
        if name not in ("key", "on"):
            assert f"--{name.replace('_', '-')}" in helps


PLANS = {
    "detect": ["detect"],
    "track": ["track", "--mot", "out.txt", "--sheet", "sheet.png"],
    "count": ["count", "--line", "80,0,80,120", "--events", "events.jsonl"],
    "action": ["action", "--segments", "segments.csv"],
    "run": ["run", "--do", "detect,track,faces", "--csv", "out.csv"],
}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("name", list(PLANS))
def test_a_run_that_is_killed_goes_on_byte_for_byte(name: str, clip: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments, resumed each time; `VISION_KILLS` says how often."""
    kills = int(os.environ.get("VISION_KILLS", "2"))
    task, *more = PLANS[name]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    arguments = [task, clip, "--jsonl", "out.jsonl", "-o", "out.mp4", "-q", *PINNED, *more]
    for folder in (whole, cut):
        folder.mkdir()
    for _ in range(2):                                         # the first may have a graph to make
        began = time.monotonic()
        done = vision(*arguments, cwd=whole)
        assert done.returncode == 0, done.stderr
        lasted = time.monotonic() - began
    rng = random.Random(name)
    killed = gone_on = 0
    for number in range(kills):
        command = [sys.executable, "-m", "vision", *map(str, arguments), "--checkpoint-every", "0.05", "--resume"]
        process = subprocess.Popen(command, cwd=cut, stderr=subprocess.PIPE)
        until = time.monotonic() + rng.uniform(0.4, 0.95) * lasted
        while number % 2 == 0 and process.poll() is None and not any(cut.glob("*.checkpoint")):
            until = time.monotonic() + rng.uniform(0, 0.1)         # every second one: soon after a checkpoint
        time.sleep(max(0.0, until - time.monotonic()))
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        gone_on += any(cut.glob("*.checkpoint"))
    done = vision(*arguments, "--checkpoint-every", "0.05", "--resume", cwd=cut)
    assert done.returncode == 0, done.stderr
    assert killed
    assert gone_on                                             # not from the beginning each time
    print(f"{name}: killed {killed} times, gone on from a checkpoint {gone_on} times")
    for path in sorted(whole.iterdir()):
        if path.suffix != ".mp4":
            assert (cut / path.name).read_bytes() == path.read_bytes(), path.name
    assert sorted(p.name for p in cut.iterdir()) == sorted(p.name for p in whole.iterdir())
    times = [frame.time for frame in read(whole / "out.mp4")]
    assert [frame.time for frame in read(cut / "out.mp4")] == pytest.approx(times, abs=1e-4)
    assert len(times) == 90


def stopped(clip: Path, folder: Path, plan: list[object] | None = None, at: int = 30) -> Path:
    """A run of detections that was left at a frame, with a checkpoint just before."""
    out = folder / "o.jsonl"
    plan = plan or [Detect(), Track()]
    where = {"backend": "openvino", "precision": "fp32", "checkpoint_every": 1e-6}
    with Run(str(clip), plan, [JsonLines(out)], **where) as run:
        for item in run:
            if item.frame.index == at:
                break
    assert (folder / "o.jsonl.checkpoint").is_file()
    return out


def resume(clip: Path, out: Path, plan: list[object] | None = None, **more: object) -> list[str]:
    """Go on; what is told at the end."""
    where = {"backend": "openvino", "precision": "fp32", "resume": True, **more}
    told = []
    with Run(str(clip), plan or [Detect(), Track()], [JsonLines(out)], **where) as run:
        for stream in run.streams():
            list(stream)
            told += stream.told
    return told


def test_a_run_that_was_left_goes_on(clip: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    with Run(str(clip), [Detect(), Track()], [JsonLines(whole)], backend="openvino", precision="fp32") as run:
        undisturbed = list(run.streams())
        for stream in undisturbed:
            list(stream)
    out = stopped(clip, tmp_path)
    assert len(out.read_text().splitlines()) < 90
    told = resume(clip, out)
    assert out.read_bytes() == whole.read_bytes()
    assert told == [line for stream in undisturbed for line in stream.told]        # of the whole run, not the rest
    assert not (tmp_path / "o.jsonl.checkpoint").exists()


def test_what_a_checkpoint_is_not_of_is_refused(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "clip.mp4"
    copy.write_bytes(clip.read_bytes())
    out = stopped(copy, tmp_path)
    kept = (tmp_path / "o.jsonl.checkpoint").read_bytes()
    before = out.read_bytes()
    with pytest.raises(UsageError, match="is of another run: it differs in steps"):
        resume(copy, out, [Detect(), Track(lost_after=3)])
    with pytest.raises(UsageError, match="is of another run: it differs in reading"):
        Run(read(copy, max_frames=50), [Detect(), Track()], [JsonLines(out)], resume=True)
    with pytest.raises(UsageError, match="Give the same --backend, --precision"):
        resume(copy, out, precision="bf16")
    data = bytearray(copy.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    with pytest.raises(UsageError, match="is not what it was when the run was killed"):
        resume(copy, out)
    copy.write_bytes(clip.read_bytes())
    (tmp_path / "o.jsonl.checkpoint").write_bytes(kept[: len(kept) // 2])
    with pytest.raises(DataError, match="is torn or none"):
        resume(copy, out)
    (tmp_path / "o.jsonl.checkpoint").write_bytes(kept)
    monkeypatch.setattr("vision.checkpoint.__version__", "9.9")
    with pytest.raises(DataError, match=r"is of version .*, this is 9\.9"):
        resume(copy, out)
    monkeypatch.undo()
    assert out.read_bytes().startswith(before[:1000])
    resume(copy, out)
    assert len(out.read_text().splitlines()) == 90


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def gone_wrong(kind: str, out: Path, source: Path) -> None:
    """What may have become of a run's files since it was killed."""
    if kind == "records deleted":
        (out / "o.jsonl").unlink()
    elif kind == "records cut":
        os.truncate(out / "o.jsonl", 10)
    elif kind == "part of the film gone":
        (out / "o.part.mp4").unlink()
    elif kind == "part of the film empty":
        os.truncate(out / "o.part.2.mp4", 0)
    elif kind == "part of the film cut":
        os.truncate(out / "o.part.mp4", 500)
    elif kind == "pictures deleted":
        shutil.rmtree(out / "frames")
    elif kind == "labels deleted":
        for path in (out / "labels").glob("*1*.txt"):
            path.unlink()
    elif kind == "source changed":
        data = bytearray(source.read_bytes())
        data[len(data) // 3 : len(data) // 2] = b"x" * (len(data) // 2 - len(data) // 3)
        source.write_bytes(data)


@pytest.mark.parametrize("kind", [
    "records deleted", "records cut", "part of the film gone", "part of the film empty", "part of the film cut",
    "pictures deleted", "labels deleted", "source changed", "engine",
])
def test_a_run_that_is_not_resumed_touches_nothing(clip: Path, tmp_path: Path, kind: str) -> None:
    source, other = tmp_path / "clip.mp4", tmp_path / "other.mp4"
    for copy in (source, other):
        copy.write_bytes(clip.read_bytes())
    out = tmp_path / "out"
    out.mkdir()

    def going(sources: list[str], folder: bool, **more: object) -> Run:
        film = VideoFile(out / "films" if folder else out / "o.mp4")
        sinks = [JsonLines(out / "o.jsonl"), SaveFrames(out / "frames"), YoloText(out / "labels"), film]
        return Run(sources, [Detect()], sinks, backend="openvino", **{"precision": "fp32", **more})

    several = kind == "source changed"                   # of two: the second one is not begun
    sources = [str(source), str(other)] if several else [str(source)]
    with going(sources, several, checkpoint_every=1e-6) as run:
        for item in run:
            if item.frame.index == 40:
                break
    assert not several or not list((out / "films").glob("other*"))
    gone_wrong(kind, out, source)
    before = contents(out)
    with going(sources, several, resume=True, **({"precision": "bf16"} if kind == "engine" else {})) as run:
        told = []
        for stream in run.streams():                     # as a command does, which goes on with the next source
            try:
                list(stream)
            except VisionError as error:
                told.append(str(error))
    assert len(told) == 1
    assert "resume" in told[0] or "Give the same" in told[0]
    assert contents(out) == before


def test_auto_comes_to_what_it_came_to_before(clip: Path, tmp_path: Path) -> None:
    """Whatever is the fastest by now: a run that goes on takes the engine of its checkpoint."""
    out = stopped(clip, tmp_path)
    with Run(str(clip), [Detect(), Track()], [JsonLines(out)], resume=True) as run:
        run.finish()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {(line["detect"]["backend"], line["detect"]["precision"]) for line in lines} == {("openvino", "fp32")}
    assert len(lines) == 90


@pytest.mark.parametrize("chosen", [[1], {"nanodet-g": 3}, {"nanodet-g": ["os", "fp32"]}, {"a": ["torch", ["fp32"]]}])
def test_a_checkpoint_with_engines_that_cannot_be(clip: Path, tmp_path: Path, chosen: object) -> None:
    out = stopped(clip, tmp_path)
    path = tmp_path / "o.jsonl.checkpoint"
    path.write_bytes(state.dumps({**state.loads(path.read_bytes()), "chosen": chosen}))
    before = contents(tmp_path)
    with pytest.raises(DataError, match="back ends and precisions"):
        resume(clip, out)
    assert contents(tmp_path) == before


def test_a_run_that_cannot_be_resumed_says_why(clip: Path, tmp_path: Path) -> None:
    for sinks, source in (([JsonLines("-")], str(clip)), ([JsonLines(tmp_path / "o")], iter(()))):
        with pytest.raises(UsageError, match="this run cannot be resumed"):
            Run(source, [Detect()], sinks, resume=True)
    with pytest.raises(UsageError, match="is a live object"):
        Run(str(clip), [Detect(object())], [JsonLines(tmp_path / "o")], resume=True)


def test_a_checkpoint_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path / "c", 1.0, {}).load() is None


def test_a_live_source_is_run_without_a_checkpoint(clip: Path, tmp_path: Path) -> None:
    """A file that plays a camera, and a list of what is not on this machine: nothing to go on with, no error."""
    source = read(clip, realtime=True, max_frames=5)
    with Run(source, [Detect()], [JsonLines(tmp_path / "o.jsonl")], checkpoint_every=1e-6) as run:
        run.finish()
    assert run.report.written + sum(run.report.dropped.values()) == run.report.read
    with pytest.raises(UsageError, match="this run cannot be resumed: cameras, addresses"):
        Run("rtsp://127.0.0.1:1/x", [Detect()], [JsonLines(tmp_path / "p.jsonl")], resume=True)


def test_a_latency_is_of_live_sources(clip: Path) -> None:
    run = Run(str(clip), [Detect()], max_latency=0.1)
    with run, pytest.raises(UsageError, match=r"is not live.*--realtime"):
        run.finish()


FOLLOWED = "10,10,30,30"


def film(path: Path, frames: int = 10) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    with VideoWriter(path) as out:
        for i in range(frames):
            out.write(np.roll(noise, i, 1), i / 10)


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three films of ten frames, in which one is."""
    folder = tmp_path / "films"
    folder.mkdir()
    for name in "abc":
        film(folder / f"{name}.mp4")
    monkeypatch.chdir(folder)
    return folder


def following(source: Any = ".", *, drawn: str = "", follower: Any = "dsst", **how: Any) -> Run:
    """Records beside the folder, so that they are what is left of it."""
    sinks = [JsonLines("../o.jsonl"), *([VideoFile(drawn)] if drawn else [])]
    return Run(source, [Follow(FOLLOWED, follower=follower)], sinks, **how)


def left_at(run: Run, name: str, index: int) -> None:
    """Leave a run at a frame, as a kill would, but with its outputs closed."""
    with run:
        for item in run:
            if (Path(item.frame.source).name, item.frame.index) == (name, index):
                break


def per_source(path: str = "../o.jsonl") -> Counter[str]:
    """How many different frames there are of each source; an error for a frame that is there twice."""
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    frames = [(Path(line["source"]).name, line["frame"]) for line in lines]
    assert len(set(frames)) == len(frames)
    return Counter(name for name, _ in frames)


def test_a_folder_to_which_a_video_was_added(films: Path) -> None:
    left_at(following(checkpoint_every=1e-6), "b.mp4", 5)
    film(films / "0.mp4")
    with following(resume=True) as run:
        run.finish()
    assert per_source() == {"0.mp4": 10, "a.mp4": 10, "b.mp4": 10, "c.mp4": 10}
    assert [Path(report.source).name for report in run.reports] == ["b.mp4", "0.mp4", "c.mp4"]
    assert not list(films.parent.glob("*.checkpoint"))


def test_a_video_that_was_read_may_be_gone(films: Path) -> None:
    left_at(following(checkpoint_every=1e-6), "b.mp4", 5)
    (films / "a.mp4").unlink()
    with following(resume=True) as run:
        run.finish()
    assert per_source() == {"a.mp4": 10, "b.mp4": 10, "c.mp4": 10}


@pytest.mark.parametrize("kind", ["midway gone", "picture added", "pictures midway"])
def test_what_cannot_be_told_apart_is_refused(films: Path, kind: str) -> None:
    """The video in which it was killed, and a row of pictures that was read or was being read."""
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    first = "z" if kind == "pictures midway" else "0"
    for i in range(4):
        cv2.imwrite(f"{first}{i}.png", noise)
    name, at = ("z1.png", 5) if kind == "pictures midway" else ("b.mp4", 5)
    run = following(partial(read, ".", rate=10.0), checkpoint_every=1e-6)
    left_at(run, name, 1 if kind == "pictures midway" else at)
    if kind == "midway gone":
        (films / "b.mp4").unlink()
    else:
        cv2.imwrite(f"{first}9.png", noise)
    before = contents(films.parent)
    with following(partial(read, ".", rate=10.0), resume=True) as run, pytest.raises(UsageError, match="is not what"):
        run.finish()
    assert contents(films.parent) == before


@pytest.mark.parametrize("every", [1e-6, None])
def test_outputs_among_the_sources_are_no_sources(films: Path, every: float | None) -> None:
    """As they are when a run is killed: in the middle of the second film, with a checkpoint there or before it."""
    killed = films.parent / "killed"
    with following(drawn=".", checkpoint_every=every) as run:
        for item in run:
            if (item.frame.source, item.frame.index) == ("b.mp4", 5):
                shutil.copytree(films.parent, killed, ignore=shutil.ignore_patterns("killed"))
    whole = {path.name for path in films.iterdir()}
    os.chdir(killed / "films")
    assert Path("b-follow.part.mp4").exists()
    with following(drawn=".", resume=True) as run:
        outputs = []
        for stream in run.streams():
            list(stream)
            outputs.append(sorted(path.name for path in stream.outputs))
    assert outputs == [["b-follow.mp4", "o.jsonl"], ["c-follow.mp4", "o.jsonl"]]       # each its own, after a kill too
    assert per_source() == {"a.mp4": 10, "b.mp4": 10, "c.mp4": 10}
    assert {path.name for path in Path().iterdir()} == whole
    assert not list(killed.glob("*.checkpoint"))
    assert [len(list(read(f"{name}-follow.mp4"))) for name in "abc"] == [10, 10, 10]


def test_frames_at_most_are_at_most_over_a_resume(films: Path) -> None:
    left_at(following(partial(read, ".", max_frames=15), checkpoint_every=1e-6), "b.mp4", 2)
    with following(partial(read, ".", max_frames=15), resume=True) as run:
        run.finish()
    assert per_source() == {"a.mp4": 10, "b.mp4": 5}


def all_of(run: Run) -> list[str]:
    """A run as a command does it: the errors of its streams."""
    told = []
    with run:
        for stream in run.streams():
            try:
                list(stream)
            except VisionError as error:
                told.append(str(error))
    return told


def test_a_film_that_cannot_be_joined_can_be_resumed(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("vision.sinks.film._remux", full)
        told = all_of(following("a.mp4", drawn="o.mp4", checkpoint_every=1e-6))
    assert told == ["'o.mp4' cannot be written (No space left on device). The pictures are in 'o.part.mp4' to "
                    "'o.part.10.mp4' (10 files)."]
    assert Path("../o.jsonl.checkpoint").exists()
    assert all_of(following("a.mp4", drawn="o.mp4", resume=True)) == []
    assert len(list(read("o.mp4"))) == 10
    assert per_source() == {"a.mp4": 10}
    assert not Path("../o.jsonl.checkpoint").exists()
    assert not list(films.glob("*.part*"))


def test_a_stream_that_failed_is_told_again(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither passed over without a word, nor written twice; one of which nothing was written is tried again."""
    begin = FollowStep.begin

    def failing(step: FollowStep, frame: Frame, sofar: Any) -> Any:
        if (frame.source, frame.index) in (("b.mp4", 5), ("a.mp4", 0)):
            raise StepError("the disk of the model is gone")
        return begin(step, frame, sofar)

    with monkeypatch.context() as patch:
        patch.setattr(FollowStep, "begin", failing)
        told = all_of(following(checkpoint_every=1e-6))
    assert [line.rpartition(": ")[2] for line in told] == ["the disk of the model is gone"] * 2
    written = per_source()["b.mp4"]
    assert 0 < written <= 5
    assert all_of(following(resume=True)) == ["'b.mp4' failed before the run was resumed, after frames of it were "
                                              "written. Run it by itself."]
    assert per_source() == {"a.mp4": 10, "b.mp4": written, "c.mp4": 10}
    assert Path("../o.jsonl.checkpoint").exists()


def test_a_source_that_cannot_be_opened_costs_nothing_that_was_written(films: Path) -> None:
    names = ["a.mp4", "b.mp4", "c.mp4"]
    with following(names) as run:
        list(next(run.streams()))
    Path("b.mp4").write_text("no film")
    assert len(all_of(following(names, resume=True))) == 1
    assert per_source() == {"a.mp4": 10, "c.mp4": 10}


def test_a_step_that_cannot_be_put_down_costs_no_parts(films: Path) -> None:
    parts = set[str]()
    with following("a.mp4", drawn="o.mp4", follower="mil", checkpoint_every=1e-6) as run:
        for _ in run:
            parts |= {path.name for path in films.glob("o.*")}
    assert parts == {"o.part.mp4"}
    assert len(list(read("o.mp4"))) == 10


def test_a_checkpoint_that_nobody_asked_for_ends_no_run(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path, data: bytes) -> None:
        raise SinkError(f"{str(path)!r} cannot be written (Permission denied).")

    monkeypatch.setattr("vision.checkpoint.write_whole", closed)
    monkeypatch.setattr("vision.run.EVERY_S", 1e-6)
    with following("a.mp4") as run:
        assert run.finish().notes == ["without checkpoints, this run cannot be resumed: '../o.jsonl.checkpoint' cannot "
                                      "be written (Permission denied)."]
    assert per_source() == {"a.mp4": 10}
    with following("a.mp4", checkpoint_every=1e-6) as run, pytest.raises(SinkError, match="Permission denied"):
        run.finish()


def test_an_end_that_fails_takes_no_interrupt_away(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision.sinks.film._remux", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with following("a.mp4", drawn="o.mp4") as run:
        stream = next(run.streams())
        items = iter(stream)
        next(items)
        with pytest.raises(KeyboardInterrupt):
            items.throw(KeyboardInterrupt)
    assert stream.report.notes == ["'o.mp4' cannot be written (full). The pictures are in 'o.part.mp4'."]


def test_the_time_before_a_kill_counts(films: Path) -> None:
    with following("a.mp4", checkpoint_every=1e-6) as run:
        for item in run:
            if item.frame.index == 3:
                time.sleep(0.3)
            if item.frame.index == 6:
                break
    with following("a.mp4", resume=True) as run:
        assert run.finish().seconds > 0.3


def test_an_older_checkpoint_ends_with_its_outputs(films: Path) -> None:
    left_at(following("a.mp4", checkpoint_every=1e-6), "a.mp4", 5)
    assert Path("../o.jsonl.checkpoint").exists()
    with following("a.mp4") as run:
        next(iter(run))
        assert not Path("../o.jsonl.checkpoint").exists()
