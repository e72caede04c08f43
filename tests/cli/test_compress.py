"""`vision compress`: the pictures that it takes, and a detector that it makes and that opens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from tests.train.labelled import NAMES, Pictures, Thing, write_coco, write_yolo
from vision.card import Card, Input
from vision.cli import app
from vision.cli.compress import _images, _Judge
from vision.cli.measured import Metric
from vision.engine import compress as quantising
from vision.engine.base import CannotRun
from vision.errors import DataError, SinkError, SourceError, UsageError
from vision.export.weighed import weighed
from vision.nets import build
from vision.tasks.detect import Detector
from vision.weights import resolve
from vision.zoo import CARDS

PICTURES: Pictures = {                  # the fourth and the last ones are upright
    f"p{i}": ((64, 96) if i in (3, 9) else (96, 64), (Thing(i % 3, (8, 8, 40, 30 + i)),)) for i in range(10)
}


def run(*arguments: object, fails: type[Exception] | None = None) -> str:
    """What `vision compress ...` prints on standard output."""
    result = CliRunner().invoke(app, ["compress", *map(str, arguments)])
    if fails is not None:
        assert isinstance(result.exception, fails), result.exception
        return str(result.exception)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_coco(tmp_path / "mine", {"val": PICTURES}) / "val.json"


@pytest.mark.parametrize(("listed", "options", "taken"), [
    (True, (), range(10)),
    (True, ("--pictures", "3"), (0, 4, 9)),               # evenly, to the last one
    (True, ("--pictures", "6"), (0, 2, 4, 5, 7, 9)),
    (True, ("--stride", "4"), (0, 4, 8)),
    (False, ("--pictures", "3"), (0, 1, 2)),              # a folder: the first ones
    (False, ("--pictures", "3", "--stride", "3"), (0, 3, 6)),
])
def test_the_network_gets_the_pictures_as_in_use(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bool,
    options: tuple[str, ...], taken: range | tuple[int, ...],
) -> None:
    seen: dict[str, Any] = {}

    def recorded(card: Card, batches: list[np.ndarray], target: Path, source: str, good: Any) -> Card:
        seen.update(card=card.name, batches=batches, source=source)
        target.write_bytes(bytes(2_000_000))
        return card

    monkeypatch.setattr(quantising, "compress", recorded)
    monkeypatch.setattr("vision.cli.compress._told", lambda before, after: None)
    data, target = pictures if listed else pictures.parent / "images", tmp_path / "small.safetensors"
    printed = run("gfl-voc", "--data", data, "-o", target, *options)
    assert (seen["card"], seen["source"]) == ("gfl-voc", data.name)
    wanted = [cv2.imread(str(pictures.parent / "images" / f"p{i}.png")) for i in taken]
    assert len(seen["batches"]) == len(wanted)
    for batch, image in zip(seen["batches"], wanted, strict=True):
        np.testing.assert_array_equal(batch, image[None])            # not enlarged, and of whole cells
    before = resolve(CARDS["gfl-voc"]).stat().st_size / 1e6
    assert f"small.safetensors: weights/detect.md; 2.0 MB, before {before:.1f} MB" in printed


def test_the_pictures_of_a_yolo_set_are_those_to_train_on(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "yolo")
    shapes = [image.shape for image in _images(root / "data.yaml", 100, 1)]
    wanted = [cv2.imread(str(path)).shape for path in sorted((root / "images" / "train").glob("*.png"))]
    assert sorted(shapes) == sorted(wanted)
    assert len(list(_images(root / "data.yaml", 2, 1))) == 2


def test_what_cannot_be_compressed_is_told(pictures: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    assert "'small.xml'" in run("gfl-voc", "--data", pictures, "-o", tmp_path / "small.xml", fails=UsageError)
    assert "int8 needs pictures: name them with --data" in run("gfl-voc", "-o", small, fails=UsageError)
    told = run("two-stream-ucf101-3", "--data", pictures, "-o", small, fails=UsageError)
    assert "(OpenVINO) or an .onnx file (onnxruntime); got one for action" in told
    run("gfl-voc", "--data", tmp_path / "none.json", "-o", small, fails=DataError)
    run("gfl-voc", "--data", tmp_path / "none.mp4", "-o", small, fails=SourceError)
    told = run("mobilenet-v2", "--prune", "0.5", "--data", tmp_path / "none", "-o", small, fails=DataError)
    assert told.startswith(f"there is no '{tmp_path / 'none'}'")
    assert not small.exists()
    mine = tmp_path / "run" / "best.safetensors"
    mine.parent.mkdir()
    save_file({"none": torch.zeros(1)}, mine, {"card": replace(CARDS["gfl-voc"], sha256="", int8=None).to_json()})
    before = mine.read_bytes()
    for model in (mine, mine.parent):
        told = run(model, "--precision", "half", "-o", mine, fails=SinkError)
        assert told.startswith(f"the output {str(mine)!r} would overwrite the input ")
    assert mine.read_bytes() == before


def test_a_file_whose_metric_falls_too_far_loses_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small.safetensors"
    found = {"mine": Metric("AP", 0.43), str(small): Metric("AP", 0.41)}
    monkeypatch.setattr("vision.cli.compress.metric_of", lambda task, model, data, precision="auto": found[model])
    small.write_bytes(b"x")
    _Judge("detect", "mine", tmp_path, 0.03).settle(small)
    assert small.is_file()
    with pytest.raises(typer.Exit):
        _Judge("detect", "mine", tmp_path, 0.01).settle(small)
    assert not small.exists()
    assert (tmp_path / "small.safetensors.rejected").read_bytes() == b"x"
    assert "AP: 0.4100, before 0.4300" in capsys.readouterr().out
    assert Metric("NME", 0.06).fall(Metric("NME", 0.08)) == pytest.approx(0.02)      # lower is better


def test_both_models_are_weighed() -> None:
    before, after = weighed(CARDS["gfl-voc"], CARDS["gfl-voc-int8"])
    assert (round(before.megabytes, 2), round(after.megabytes, 2)) == (7.01, 4.56)
    assert (before.precision, after.precision) == ("fp32", "int8")
    assert before.parameters == after.parameters == pytest.approx(3.4, abs=0.2)
    assert before.gmacs == after.gmacs
    assert 0 < after.ms < 10_000


def test_a_model_that_does_not_run_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision.export.weighed.measure", lambda engines, batch: [[30.0, 31.0], [0.0, 0.0]])
    with pytest.raises(CannotRun, match=r"^'gfl-voc-int8' was opened, and does not run$"):
        weighed(CARDS["gfl-voc"], CARDS["gfl-voc-int8"])


def test_the_old_name_still_works_and_is_not_shown() -> None:
    assert "compress" not in CliRunner().invoke(app, ["models", "--help"]).output
    assert CliRunner().invoke(app, ["models", "compress", "--help"]).exit_code == 0


@pytest.mark.slow
def test_a_compressed_detector_opens_and_finds_the_same(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    torch.manual_seed(0)
    config = {"classes": 3, "channels": 16}
    card = Card(
        name="mine", task="detect", net="gfl", file="", licence="", source="", names=NAMES,
        input=Input((96, 96), "letterbox", enlarge=False), min_score=0.0, config=config,
    )
    net = build("gfl", **config)
    save_file(net.state_dict(), tmp_path / "mine.safetensors", {"card": card.to_json()})
    target = tmp_path / "mine-int8.safetensors"
    printed = run(tmp_path / "mine.safetensors", "--data", pictures, "-o", target, "--pictures", "4")
    assert "in int8, ranges from 4 pictures of val.json" in printed
    exact, small = (Detector.load(tmp_path / name, "cpu") for name in ("mine.safetensors", target.name))
    assert (small.names, small.engine.label) == (NAMES, "openvino CPU int8")
    for i in (1, 3):                                                   # lying and upright
        image = cv2.imread(str(pictures.parent / "images" / f"p{i}.png"))
        outputs = [detector.engine(image[None]) for detector in (exact, small)]
        assert [o.shape for o in outputs[0]] == [o.shape for o in outputs[1]]
        boxes, scores = (np.abs(a - b).max() for a, b in zip(*outputs, strict=True))
        assert 0 < boxes < 5
        assert scores < 0.01
