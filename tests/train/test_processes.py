"""Trainings of several processes: what those that load data are handed, how a stop ends them, and gradients shared by
two of which layers wait."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch
from matplotlib import get_data_path
from safetensors import safe_open
from torch.utils.tensorboard import SummaryWriter

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from tests.train import test_instances as masks
from tests.train.labelled import write_coco
from tests.train.test_classification import HUES, TINY, picture
from tests.train.test_detection import squares
from tests.train.test_training import ROOT, SMALL, vision
from vision.train.action import ActionSettings
from vision.train.board import Board
from vision.train.detect import DetectSettings
from vision.train.instances import InstanceSettings
from vision.train.loading import loaders
from vision.train.recipe import Parts
from vision.train.text import TextSettings
from vision.train.training import RECIPES, Training
from vision.train.workers import _STOPS, Loader, _put_off

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
NOISE = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)


# what the processes that load data are handed

def hues(root: Path) -> Path:
    for name, hue in HUES.items():
        (root / name).mkdir(parents=True)
        for i in range(12):
            cv2.imwrite(str(root / name / f"{i}.png"), picture(hue, i))
    return root


def boxes(root: Path) -> Path:
    return write_coco(root, {"train": squares(4, 0), "val": squares(2, 1)})


def videos(root: Path) -> Path:
    for label, name in enumerate(("Down", "Right")):
        (root / name).mkdir(parents=True)
        for group in (1, 2, 3):
            path = root / name / f"v_{name}_g{group:02d}_c01.avi"
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (48, 40))
            for i in range(20):
                writer.write(np.roll(NOISE, (4 + group) * i, label))
            writer.release()
    return root


def words(root: Path) -> Path:
    root.mkdir()
    rows = ["image,text,scene"]
    for i in range(12):
        cv2.imwrite(str(root / f"{i}.png"), NOISE[:24])
        rows.append(f"{i}.png,ab,{i // 2}")
    (root / "words.csv").write_text("\n".join(rows))
    (root / "list").write_text("ab\nba\n")
    return root


SMALL_BOXES = DetectSettings(model="gfl", size=(64, 64), crop=(64, 64), encoder_weights="none")
TRAINED: dict[str, tuple[Callable[[Path], Path], Any]] = {
    "classify": (hues, TINY),
    "classify, pictures cut": (hues, replace(TINY, shift=0, area=(0.5, 1.0), policy="trivial", erase=0.1)),
    "detect": (boxes, SMALL_BOXES),
    "detect, proposals": (boxes, replace(SMALL_BOXES, model="fast_rcnn", proposals=10)),
    "instances": (masks.write_coco, InstanceSettings(model="mask_rcnn", encoder_weights="none", crop=(64, 64))),
    "action": (videos, ActionSettings(model="c3d-lite")),
    "text": (words, TextSettings(made=4, channels=4, hidden=8, fonts=Path(get_data_path()) / "fonts/ttf")),
}


def parts_of(task: str, root: Path, patch: pytest.MonkeyPatch) -> Parts:
    """What a training of `TRAINED` would be fitted with."""
    found: list[Parts] = []
    for module in ("classification", "detection", "instance_masks", "recognition", "reading"):
        patch.setattr(f"vision.train.{module}.fit", lambda parts, training, told: found.append(parts))
    write, settings = TRAINED[task]
    data = write(root / "data")
    if isinstance(settings, TextSettings):
        settings = replace(settings, words=data / "list")
    Training(task.split(",", maxsplit=1)[0], data, root / "run", settings).run()
    return found[0]


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


@pytest.mark.parametrize("task", TRAINED)
def test_data_sets_give_the_same_items_in_another_process(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {name.split(",")[0] for name in TRAINED} | {"segment"} == RECIPES.keys()      # which test_segment.py has
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parts = parts_of(task, tmp_path, monkeypatch)
    for part in (parts.train, parts.val):
        there = pickle.loads(pickle.dumps(part))
        for key in ((0, 7), (len(part) - 1, 1 << 40)):
            assert alike(part[key], there[key]), key


@pytest.mark.slow
def test_loading_processes_change_nothing(tmp_path: Path) -> None:
    for task in ("classify", "action"):
        write, settings = TRAINED[task]
        data = write(tmp_path / task)
        settings = replace(settings, epochs=1, batch=4, threads=1)
        alone, helped = (Training(task, data, tmp_path / f"{task}{n}", replace(settings, workers=n)).run().weights
                         for n in (0, 1))
        assert alone.read_bytes()[-4000:] == helped.read_bytes()[-4000:]


# how a stop ends them

def test_a_stop_is_put_off_and_a_process_that_begins_meanwhile_hears_none() -> None:
    heard: list[int] = []
    before = [signal.signal(one, lambda number, frame: heard.append(number)) for one in _STOPS]
    try:
        with _put_off():
            signal.raise_signal(signal.SIGTERM)
            code = "import signal; print(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))))"
            child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            assert heard == []
        assert heard == [signal.SIGTERM]
        assert child.stdout.strip() == str(sorted(map(int, _STOPS)))
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()).isdisjoint(_STOPS)
        signal.raise_signal(signal.SIGINT)
        assert heard[1:] == [signal.SIGINT]
    finally:
        for one, handler in zip(_STOPS, before, strict=True):
            signal.signal(one, handler)


def test_a_stop_comes_after_what_is_written_for_tensorboard(tmp_path: Path) -> None:
    """Inside, it would leave the writer's queue locked, and its end waiting for good."""
    heard: list[int] = []
    seen: list[int] = []
    with SummaryWriter(str(tmp_path)) as writer:
        Board().setup(Mock(logger=Mock(experiment=writer)), Mock(), "fit")
        put = writer.file_writer.event_writer._async_writer.write

        def stopped(data: bytes) -> None:
            signal.raise_signal(signal.SIGTERM)
            seen.append(len(heard))
            put(data)

        before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
        try:
            writer.file_writer.event_writer._async_writer.write = stopped
            writer.add_scalar("loss", 1.0, 0)
        finally:
            signal.signal(signal.SIGTERM, before)
    assert (seen, heard) == ([0], [signal.SIGTERM])


@pytest.mark.slow
def test_a_loading_process_hears_its_parent_alone() -> None:
    loader, _ = loaders(range_of(6), range_of(2), replace(SMALL, workers=1, batch=2))
    assert isinstance(loader, Loader)
    batches = iter(loader)
    next(batches)
    (process,) = active_children()
    for number in (signal.SIGINT, signal.SIGTERM):                  # of another process, as of `timeout`
        subprocess.run(["kill", f"-{int(number)}", str(process.pid)], check=True)
    assert len(list(batches)) == 2
    assert process.is_alive()
    process.terminate()
    process.join(20)
    assert process.exitcode == 0
    loader.close()
    assert len(list(loader)) == 3                                    # new ones begin
    loader.close()
    assert active_children() == []


class range_of(Sequence[int]):
    """Items that are their place."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, key: Any) -> Any:
        if key[0] >= self.n:
            raise IndexError
        return key[0]


def in_group(group: int) -> list[str]:
    """The processes of a group that are at work."""
    shown = subprocess.run(["ps", "-ewwo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in shown.splitlines()]
    return [row[2] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "begun"), [
    (signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGTERM, False),
])
def test_a_stop_of_the_whole_group_is_told_in_a_line(
    number: int, begun: bool, rectangles: Path, tmp_path: Path
) -> None:
    """begun: whether the first epoch is over; else the loading processes are about to begin."""
    folder = tmp_path / "run"
    process = vision(
        "train", "segment", "--data", rectangles, "-o", folder, "--model", "fcn-basic", "--crop", "64x48", "--size",
        "64x48", "--encoder-weights", "none", "--epochs", "500", "--workers", "2", "--threads", "1",
        start_new_session=True)
    until = time.monotonic() + 200
    while time.monotonic() < until and not (
            (folder / "last.ckpt").exists() if begun else any("spawn_main" in one for one in in_group(process.pid))):
        time.sleep(0.05)
    os.killpg(process.pid, number)
    out, error = process.communicate(timeout=100)
    assert process.returncode == 128 + number, error
    lines = [line for line in error.splitlines() if not line.startswith("epoch ")]
    assert len(lines) == 1, error
    assert lines[0].startswith("stopped in epoch " if begun else "stopped before the first epoch")
    assert out == ""
    until = time.monotonic() + 10
    while in_group(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert in_group(process.pid) == []


# gradients of two processes

@pytest.mark.slow
def test_two_processes_learn_as_one_where_layers_wait(tmp_path: Path) -> None:
    """The last layer alone learns in the first epoch; twelve pictures in each of two processes are 24 in one."""
    data = hues(tmp_path / "data")
    first = Training("classify", data, tmp_path / "first", replace(TINY, epochs=1)).run().weights
    settings = replace(
        TINY, model=str(first), freeze_epochs=1, epochs=3, backbone_lr=0.5, optimiser="sgd", lr=0.02, threads=1,
        batch=24, hold_out=0.34, shift=0, area=(1.0, 1.0), flip=0.0, colour=0.0)
    Training("classify", data, tmp_path / "one", settings).run()
    program = tmp_path / "go.py"
    program.write_text(f"""
import warnings; warnings.filterwarnings("ignore")
from pathlib import Path
from vision.train.classify import ClassifySettings
from vision.train.training import Training
settings = ClassifySettings(**{ {**settings.__dict__, "batch": 12, "devices": 2} !r})
Training("classify", Path({str(data)!r}), Path({str(tmp_path / "two")!r}), settings).run()
""")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two, was = (torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"]
                     for name in ("one", "two", "first"))
    for name, weights in one.items():
        assert torch.allclose(two[name], weights, atol=1e-5), name
        assert name.endswith("mask") or not torch.equal(weights, was[name]), name
    told = []
    for name in ("one", "two"):                          # by all that is held out, and not by the first one's share
        with safe_open(tmp_path / name / "best.safetensors", "pt") as file:
            told.append(json.loads(file.metadata()["training"])["figures"])
    assert told[0] == pytest.approx(told[1], abs=1e-4)
