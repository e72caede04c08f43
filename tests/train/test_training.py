"""`Training` and `vision train`: what is refused and how fast, what a stop leaves, how a run goes on."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
import yaml
from safetensors.torch import load_file

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from vision.card import Card, Input
from vision.cli.train import _command
from vision.errors import DataError, SinkError, UsageError, WeightsError
from vision.spec import options
from vision.train.detect import DetectSettings
from vision.train.fit import _fit, save_weights
from vision.train.recipe import Progress
from vision.train.segment import SegmentSettings
from vision.train.segmentation import Segmentation
from vision.train.training import RECIPES, Training

from .labelled import write_coco
from .test_detection import squares

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
ROOT = Path(__file__).resolve().parents[2]
SMALL = SegmentSettings(
    model="fcn-basic", size=(64, 48), crop=(64, 48), area=(0.5, 1.0), encoder_weights="none", epochs=2, batch=8,
    warmup=0.0,
)


def vision(*arguments: object, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vision", *map(str, arguments)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, **more,
    )


def test_auto_is_the_precision_that_the_processor_computes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_coco(tmp_path / "data")
    for flags, expected in (({"avx512_bf16"}, "bfloat16"), ({"amx_bf16"}, "bfloat16"), ({"avx2"}, "float32")):
        monkeypatch.setattr("vision.train.training.processor_flags", lambda flags=flags: frozenset(flags))
        monkeypatch.setattr("vision.train.training._NVIDIA", tmp_path / "none")
        made = Training("detect", data, tmp_path / "run", DetectSettings(precision="auto"))
        assert made.settings.precision == made.facts["precision"] == expected
    monkeypatch.setattr("vision.train.training._NVIDIA", tmp_path)
    monkeypatch.setattr("vision.train.training.processor_flags", lambda: frozenset({"amx_bf16"}))
    assert Training("detect", data, tmp_path / "run", DetectSettings(precision="auto")).settings.precision == "float32"


# what is refused, before anything heavy is imported

REFUSED = """
import sys, time
from vision.cli import main
sys.argv = ["vision", "train", *sys.argv[1:]]
try:
    main()
finally:
    heavy = [name for name in ("torch", "lightning", "torchvision", "sklearn") if name in sys.modules]
    print(heavy, time.process_time())
"""


@pytest.mark.parametrize(("arguments", "line"), [
    ("detect --data nowhere -o run", "DataError: there is no 'nowhere'"),
    ("detect --data DATA -o run --model gfll", "ModelError: no model 'gfll' for detect. Nearest: gfl-voc"),
    ("detect --data DATA -o run --crop 33x33", "UsageError: crop has sides that are multiples of 32"),
    ("detect --data DATA -o run --crop 33", "--crop is 2 whole numbers, such as 320x320; got '33'"),
    ("classify --data nowhere -o run", "DataError: there is no 'nowhere'"),
    ("classify --data DATA -o run --model resnet19", "ModelError: no network 'resnet19' to train. Nearest: resnet1"),
    ("classify --data DATA -o run", "DataError: 'DATA' has one class, 'images'"),
    ("detect --data DATA -o run --resume", "WeightsError: 'run' has no last.ckpt to resume from"),
    ("detect --data DATA -o run --model ssdlite --encoder-weights gone.pth", "no encoder weights at 'gone.pth'"),
    ("detect --data DATA -o run --options [1]", "options is JSON, an object as"),
    ("detect --data DATA -o run --val-every 30", "val_every is at most epochs (20); got 30"),
    ("detect --data HALF -o run", "has no split 'val'"),
    ("instances --data DATA -o run --model gfl-voc", "ModelError: 'gfl-voc' is a 'gfl'; masks are learnt on a nanodet"),
    ("instances --data DATA -o run --crop 33x33", "UsageError: crop has sides that are multiples of 32"),
    ("segment --data DATA -o run", "has no split 'train'. Expected train/images and train/labels"),
    ("segment --data DATA -o run --model fpnn:resnet18", "ModelError: no network 'fpnn' to train. Nearest: fpn"),
    ("segment --data DATA -o run --weights gone.safetensors", "there are no weights at 'gone.safetensors'"),
    ("action --data DATA -o run", "has no videos. Fill it, or take it away"),
    ("action --data DATA -o run --model c4d", "ModelError: no network 'c4d' to train on actions. Nearest: c3d"),
    ("action --data DATA -o run --split 1 --folds 5", "--folds, --split and --everything say what is held out"),
])
def test_a_refusal_is_one_line_and_comes_before_torch(arguments: str, line: str, tmp_path: Path) -> None:
    data = write_coco(tmp_path / "data")
    (tmp_path / "half").mkdir()
    for name in ("images", "train.json"):
        os.symlink(data / name, tmp_path / "half" / name)
    given = arguments.replace("DATA", str(data)).replace("HALF", str(tmp_path / "half")).split()
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, *given], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )
    told = [one for one in done.stderr.splitlines() if "stays as it is" not in one]
    assert (done.returncode, len(told)) != (0, 0)
    assert len(told) == 1, done.stderr
    assert line.replace("DATA'", f"{data}'") in told[0]
    heavy, seconds = done.stdout.splitlines()[-1].rsplit(" ", 1)
    assert heavy == "[]"
    assert float(seconds) < 1.5
    assert not (tmp_path / "run").exists()


def test_the_command_has_the_options_and_the_defaults_of_the_settings() -> None:
    for task, recipe in RECIPES.items():
        known = set(_command(task).__signature__.parameters)
        assert known >= {field.name for field in options(recipe.settings)} == {f.name for f in fields(recipe.settings)}
    assert DetectSettings().record() == DetectSettings(scale="0.5,1.8", crop="320x320", options="{}").record()
    assert (DetectSettings().scale, DetectSettings().mosaic) == ((0.5, 1.8), 0.3)


# how a run goes on

def test_a_run_tells_where_it_is_and_records_its_settings(rectangles: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    run = Training("segment", rectangles, tmp_path / "run", SMALL).run(told.append)
    ends = [one for one in told if one.done]
    assert [(one.epoch, one.epochs, one.share) for one in ends] == [(1, 2, 1.0), (2, 2, 1.0)]
    assert set(ends[0].figures) == {"mIoU", "accuracy"}
    assert max(one.figures["mIoU"] for one in ends) == pytest.approx(run.figures["miou"])
    assert ends[1].loss < ends[0].loss
    assert not any(one.figures for one in told if not one.done)
    record = yaml.safe_load((tmp_path / "run" / "log" / "hparams.yaml").read_text())
    assert record == {**SMALL.record(), "classes": ["ground", "block", "other"]}


def test_the_curve_is_json_where_a_figure_is_not_a_number(tmp_path: Path) -> None:
    """No object is large, and of two classes no picture of validation has any."""
    data = write_coco(tmp_path / "data", {"train": squares(4, 0), "val": squares(1, 1)})
    settings = DetectSettings(
        model="gfl", size=(64, 64), crop=(64, 64), encoder_weights="none", epochs=1, batch=4, mosaic=0.0
    )
    Training("detect", data, tmp_path / "run", settings).run()

    def refuse(name: str) -> float:
        raise AssertionError(name)

    (line,) = (tmp_path / "run" / "curve.jsonl").read_text().splitlines()
    values = json.loads(line, parse_constant=refuse)
    assert values["val/ap_cat"] is None
    assert values["val/large"] is None
    assert values["val/ap"] >= 0


def test_a_run_goes_on_for_more_epochs_and_not_for_fewer(rectangles: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    Training("segment", rectangles, folder, SMALL).run()
    before = (folder / "curve.jsonl").read_text()
    more = Training("segment", rectangles, folder, replace(SMALL, epochs=4), resume=True).run()
    lines = (folder / "curve.jsonl").read_text()
    assert more.epochs == 4
    assert lines.startswith(before)
    assert [json.loads(line)["epoch"] for line in lines.splitlines()] == [0, 1, 2, 3]
    assert yaml.safe_load((folder / "log" / "hparams.yaml").read_text())["epochs"] == 4
    with pytest.raises(UsageError, match=r"was to have 4 epochs\. Resume with as many or more"):
        Training("segment", rectangles, folder, SMALL, resume=True)
    with pytest.raises(UsageError, match=r"lr 0\.002 -> 0\.1\. .* from its weights: --weights .*best\.safetensors"):
        Training("segment", rectangles, folder, replace(SMALL, lr=0.1), resume=True)
    assert RECIPES["detect"].again == "--model"              # that option is there: `vision train detect --model FILE`
    assert "model" in {field.name for field in options(DetectSettings)}


def test_a_run_that_goes_on_waits_as_long_as_it_is_told_to(
    rectangles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = Segmentation.figures
    monkeypatch.setattr(Segmentation, "figures", lambda self: {**figures(self), "miou": 0.5})    # it never rises
    hasty = replace(SMALL, epochs=8, patience=1)
    assert Training("segment", rectangles, tmp_path, hasty).run().epochs == 2
    assert Training("segment", rectangles, tmp_path, hasty, resume=True).run().epochs == 2
    patient = Training("segment", rectangles, tmp_path, replace(hasty, patience=4), resume=True).run()
    assert patient.epochs == 5


def test_weights_that_float16_does_not_hold_stay_float32(tmp_path: Path) -> None:
    net = torch.nn.BatchNorm2d(2)
    net.running_var[:] = torch.tensor([1.5, 90_000.0])
    card = Card(name="m", task="segment", file="", licence="", source="", input=Input((8, 8), "stretch"))
    save_weights(tmp_path / "w.safetensors", net, card, {})
    kept = load_file(tmp_path / "w.safetensors")
    assert kept["running_var"].tolist() == [1.5, 90_000]
    assert kept["weight"].dtype == torch.float16


def test_a_run_of_a_version_without_a_record_goes_on(
    rectangles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Training("segment", rectangles, tmp_path, replace(SMALL, epochs=1)).run()
    (tmp_path / "log" / "hparams.yaml").write_text("{}\n")
    assert Training("segment", rectangles, tmp_path, SMALL, resume=True).run().epochs == 2
    assert "does not say which settings this run had" in caplog.text
    torch.save({"nothing": 1}, tmp_path / "last.ckpt")
    with pytest.raises((KeyError, WeightsError)):
        Training("segment", rectangles, tmp_path, SMALL, resume=True).run()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_says_what_is_kept_and_how_to_go_on(number: int, rectangles: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    given = ["train", "segment", "--data", rectangles, "-o", folder, "--model", "fcn-basic", "--crop", "64x48",
             "--size", "64x48", "--encoder-weights", "none", "--epochs", "500"]
    process = vision(*given)
    until = time.monotonic() + 200
    while time.monotonic() < until and not (folder / "last.ckpt").exists():
        time.sleep(0.1)
    process.send_signal(number)
    out, error = process.communicate(timeout=100)
    assert process.returncode == 128 + number, error
    lines = error.splitlines()
    assert lines[0].startswith("epoch 1/500  loss ")
    assert " mIoU " in lines[0]
    assert lines[0].endswith(" s")
    assert lines[-1].startswith("stopped in epoch ")
    assert f"{folder / 'last.ckpt'} holds the last whole epoch" in lines[-1]
    assert lines[-1].endswith("Go on with the same command and --resume.")
    assert out == ""
    done = len((folder / "curve.jsonl").read_text().splitlines())
    again = vision(*given[:-1], done + 1, "--resume")
    out, error = again.communicate(timeout=200)
    assert again.returncode == 2                              # 500 were asked for
    assert "was to have 500 epochs" in error


def test_a_full_disk_is_told_by_the_file_that_it_had_no_room_for(rectangles: Path, tmp_path: Path) -> None:
    """As a limit on how large a file may be has it; what was whole before stays."""
    resource = pytest.importorskip("resource")
    Training("segment", rectangles, tmp_path / "run", replace(SMALL, epochs=1)).run()
    best, last = (tmp_path / "run" / name for name in ("best.safetensors", "last.ckpt"))
    limits, kept = resource.getrlimit(resource.RLIMIT_FSIZE), last.read_bytes()
    for path in (best, last):
        again = Training("segment", rectangles, tmp_path / "run", SMALL, resume=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size - 1000, limits[1]))
        try:
            with pytest.raises(SinkError, match=rf"run/{path.name}' cannot be written \(File too large\)"):
                again.run()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert list((tmp_path / "run").glob("*.part")) == []
        assert last.read_bytes() == kept


def test_what_lightning_makes_of_a_full_disk_and_of_a_stop_is_told_as_what_it_is(tmp_path: Path) -> None:
    trainer, learner = Mock(), Mock(folder=tmp_path / "run")
    trainer.fit.side_effect = OSError(errno.ENOSPC, "No space left on device")       # of TensorBoard's log
    with pytest.raises(SinkError, match=r"the folder '.*run' cannot be written \(No space left on device\)"):
        _fit(trainer, learner, (Mock(), Mock()), None)
    for stop in (KeyboardInterrupt(), SystemExit(3), type("Stopped", (BaseException,), {})()):      # as the command's
        trainer.fit.side_effect = error = RuntimeError("Please call iter")
        error.__context__ = stop
        with pytest.raises(type(stop)) as raised:
            _fit(trainer, learner, (Mock(), Mock()), None)
        assert raised.value is stop
    trainer.fit.side_effect = error = RuntimeError("another")
    error.__context__ = GeneratorExit()
    with pytest.raises(RuntimeError, match="another"):
        _fit(trainer, learner, (Mock(), Mock()), None)


def test_a_recipe_of_one_s_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing trains 'dettect'. Nearest: detect"):
        Training("dettect", tmp_path, tmp_path)
    with pytest.raises(UsageError, match="expected SegmentSettings, got DetectSettings"):
        Training("segment", tmp_path, tmp_path, DetectSettings())
    with pytest.raises(DataError, match="there is no"):
        Training("segment", tmp_path / "gone", tmp_path / "run")
