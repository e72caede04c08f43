"""`vision train action` over folds: what a kill leaves is gone on with."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
import typer
from conftest import WriteVideo
from safetensors.torch import load_file
from typer.testing import CliRunner

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from tests.boarded import board_lacks
from vision.cli.train import _command
from vision.errors import UsageError
from vision.tasks.action import Recognizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning"),
]


@pytest.fixture
def videos(write_video: WriteVideo, tmp_path: Path) -> Path:
    """Two classes of three groups each: a bar that goes to the right, or down."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:8, :8] = 200
    for axis, name in enumerate(("Down", "Right")):
        for group in (1, 2, 3):
            shown = [np.roll(picture, (4 + group) * i, axis) for i in range(10)]
            write_video(f"data/{name}/v_{name}_g{group:02d}_c01.mp4", shown)
    return tmp_path / "data"


def test_folds_go_on_after_a_kill(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recognizer, "load", partial(Recognizer.load, backend="torch"))    # no export
    app = typer.Typer()
    app.command()(_command("action"))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    common = f"--data {videos} --model c3d-lite --folds 2 --epochs 1 --batch 2 -q".split()
    first = CliRunner().invoke(app, [*common, "-o", str(whole)])
    assert first.exit_code == 0, first.output
    killed.mkdir()
    copytree(whole / "fold1", killed / "fold1")               # as if the kill came before the second began
    before = (killed / "fold1" / "best.safetensors").stat().st_mtime_ns
    second = CliRunner().invoke(app, [*common, "-o", str(killed), "--resume"])
    assert second.exit_code == 0, second.output
    assert (killed / "fold1" / "best.safetensors").stat().st_mtime_ns == before
    ours, theirs = (load_file(root / "fold2" / "best.safetensors") for root in (killed, whole))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
    told, expected = (json.loads((root / "folds.json").read_text()) for root in (killed, whole))
    assert told == expected
    assert told["videos"] == 6
    assert board_lacks(whole / "fold1") == set()
    common[common.index("--folds") + 1] = "3"                 # of which fold1 is none
    third = CliRunner().invoke(app, [*common, "-o", str(killed), "--resume"])
    assert isinstance(third.exception, UsageError)
    assert "was begun with --folds 2" in str(third.exception)


def test_the_defaults_train_and_hold_something_out_by_themselves(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The default network has frozen streams: its last layer is fitted, asked for or not."""
    monkeypatch.setattr(Recognizer, "load", partial(Recognizer.load, backend="torch"))    # no export
    app = typer.Typer()
    app.command()(_command("action"))
    given = ["--data", str(videos), "-o", str(tmp_path / "run"), "-q"]
    plain = CliRunner().invoke(app, given)
    assert plain.exit_code == 0, plain.output
    assert "val: 2 of 6 videos are held out, by group (g01)" in caplog.text
    assert "(2 videos)" in plain.output
    given = ["--data", str(videos), "-o", str(tmp_path / "folds"), "-q"]
    first = CliRunner().invoke(app, [*given, "--folds", "3"])
    assert first.exit_code == 0, first.output
    assert first.output.count("its last layer is fitted") == 1
    assert json.loads((tmp_path / "folds" / "folds.json").read_text())["videos"] == 6
    asked = CliRunner().invoke(app, [*given, "--everything", "--linear-svm"])
    assert asked.exit_code == 0, asked.output
    assert "its last layer is fitted" not in asked.output
