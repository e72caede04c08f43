"""`vision segment`, `vision eval segment`, `vision train segment`: from folders to figures and files."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vision.card import Card, Input
from vision.cli import main
from vision.engine import FakeEngine
from vision.tasks.segment import Segmenter

NAMES = ("ground", "block")
CARD = Card(
    name="fake", task="segment", net="smp", file="", licence="", source="", input=Input((64, 48), "stretch"),
    names=NAMES,
)


def vision(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `vision ...`."""
    monkeypatch.setattr(sys, "argv", ["vision", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def light_is_block(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    return ((batch[..., 0] > 127).astype(np.uint8),)


def unsure(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    return *light_is_block(batch), np.full(batch.shape[:3], 0.125, np.float32)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: Any, uncertainty: bool = False) -> Segmenter:
        return Segmenter(FakeEngine(unsure if uncertainty else light_is_block), CARD)

    monkeypatch.setattr(Segmenter, "load", load)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pictures of 64x48 whose right halves are blocks; the model sees 8 columns of one elsewhere.
    A third has no labels."""
    for i, edge in enumerate((32, 24, 32)):
        picture, labels = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)
        picture[:, edge:] = 255
        labels[:, 32:] = 1
        labels[0] = 255
        for kind, image in (("images", picture), ("labels", labels)):
            (tmp_path / "val" / kind).mkdir(parents=True, exist_ok=True)
            if kind == "images" or i < 2:
                cv2.imwrite(str(tmp_path / "val" / kind / f"{i}.png"), image)
    (tmp_path / "classes.txt").write_text("ground\nblock\n", encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("fake")
def test_segment_writes_maps_pictures_and_areas(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code = vision(
        monkeypatch, "segment", data / "val" / "images", "-q", "--rle", "--save-frames", out / "drawn",
        "--index", out / "index", "--uncertainty", out / "variance", "--jsonl", tmp_path / "all.jsonl",
        "--csv", tmp_path / "all.csv", "--report", tmp_path / "r.json",
    )
    assert code == 0
    with open(tmp_path / "all.csv", newline="", encoding="utf-8") as file:
        rows = [(row["frame"], row["label"], row["fraction"]) for row in csv.DictReader(file)]
    assert sorted(rows)[2:4] == [("1", "block", "0.625"), ("1", "ground", "0.375")]
    assert len(rows) == 6
    report = json.loads((tmp_path / "r.json").read_text())[0]
    assert {str(out / "index"), str(out / "variance")} <= set(report["outputs"])
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    shares = [[area["fraction"] for area in line["segment"]["areas"]] for line in lines]
    assert shares == [[0.5, 0.5], [0.625, 0.375], [0.5, 0.5]]
    assert lines[1]["segment"]["areas"][0]["label"] == "block"
    assert lines[1]["segment"]["areas"][1]["rle"]["counts"] == [0, 24 * 48, 40 * 48]
    assert lines[0]["segment"]["uncertainty"] == 0.125
    maps = sorted((out / "index").iterdir())
    assert len(maps) == len(list((out / "drawn").iterdir())) == 3
    second = cv2.imread(str(maps[1]), cv2.IMREAD_UNCHANGED)
    assert second.dtype == np.uint8
    np.testing.assert_array_equal(second, np.repeat([[0] * 24 + [1] * 40], 48, 0))
    variance = cv2.imread(str(sorted((out / "variance").iterdir())[0]), cv2.IMREAD_UNCHANGED)
    assert variance.dtype == np.uint16
    assert (variance == 32768).all()


@pytest.mark.usefixtures("fake")
def test_eval_segment_counts_by_hand(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, shown = tmp_path / "figures.json", tmp_path / "page.html"
    assert vision(monkeypatch, "eval", "segment", "--data", data, "-q", "--report", report, "--html", shown) == 0
    told = capsys.readouterr().out
    assert "12.5 % of its pixels are wrong" in shown.read_text()
    assert "2 pictures" in told
    assert "left out for want of labels: 1, first 2.png" in told
    figures = json.loads(report.read_text())
    ground, block = 56 / 64, 64 / 72                          # 8 of 64 columns of ground are called block
    assert figures["iou ground"] == pytest.approx(ground)
    assert figures["iou block"] == pytest.approx(block)
    assert figures["miou"] == pytest.approx((ground + block) / 2)
    assert figures["accuracy"] == pytest.approx(120 / 128)
    assert figures["bf"] == pytest.approx(0.5)                # one contour meets, one is 8 pixels off


@pytest.mark.usefixtures("fake")
def test_eval_segment_wants_the_model_s_classes(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "classes.txt").write_text("ground\nroof\n", encoding="utf-8")
    assert vision(monkeypatch, "eval", "segment", "--data", data, "-q") == 1
    assert "classes ground, block;" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["--crop", "big"], 2, "--crop is 2 whole numbers"),
    (["--crop", "16x16"], 2, "--crop is at least 32; got 16"),
    (["--epochs", "0"], 2, "--epochs is at least 1"),
    (["--options", "{"], 2, "options is JSON"),
    (["--encoder-weights", "gone.pth"], 1, "no encoder weights at 'gone.pth'"),
    (["--model", "unet"], 1, "for example unet:mobilenet_v2"),
    ([], 1, "has no split 'train'"),
])
def test_train_segment_says_what_cannot_be(
    arguments: list[str], code: int, message: str, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    if arguments:
        (data / "val").rename(data / "train")
        (data / "val").symlink_to(data / "train")
    assert vision(monkeypatch, "train", "segment", "--data", data, "-o", tmp_path / "run", *arguments) == code
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_train_segment_ends_in_weights_that_segment_opens(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (data / "train").symlink_to(data / "val")
    run = tmp_path / "run"
    common = ("train", "segment", "--data", data, "-o", run, "--model", "fcn8s:mobilenet_v2",
              "--crop", "64x64", "--size", "64x48", "--epochs", 1, "--batch", 2)
    assert vision(monkeypatch, *common) == 0
    assert "train: pictures without labels, left out: 1 (2.png)" in caplog.text
    assert "1 epoch; kept: mIoU" in capsys.readouterr().out
    assert vision(monkeypatch, *common) == 2                  # a run is not overwritten
    picture = data / "val" / "images" / "0.png"
    assert vision(monkeypatch, "segment", picture, "--model", run / "best.safetensors",
                  "-o", tmp_path / "drawn.png", "--backend", "torch", "-q") == 0
    assert cv2.imread(str(tmp_path / "drawn.png")).shape == (48, 64, 3)
