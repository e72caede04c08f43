"""Handing data over to ultralytics' trainer: the labels it gets, and what comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.train.labelled import SPLITS, write_coco
from vision.data.detection import read_detection
from vision.data.layouts import Problem
from vision.errors import WeightsError
from vision.tasks.detect import Detector
from vision.train.detect import DetectSettings
from vision.train.training import Training
from vision.train.yolo import write_yolo


def test_what_ultralytics_gets_is_the_same_data(tmp_path: Path) -> None:
    sets = {split: read_detection(write_coco(tmp_path / "coco"), split) for split in ("train", "val")}
    described = write_yolo(sets, tmp_path / "yolo")
    content = yaml.safe_load(described.read_text())
    assert content["names"] == dict(enumerate(sets["train"].names))
    for split, data in sets.items():
        again = read_detection(tmp_path / "yolo", split)
        assert again.names == data.names
        assert again.problems.keys() <= {Problem.UNLABELLED}
        assert len(again.pictures) == len(data.pictures) == len(SPLITS[split])
        for mine, theirs in zip(data.pictures, again.pictures, strict=True):
            assert mine.path.samefile(theirs.path)
            assert mine.labels.tolist() == theirs.labels.tolist()
            np.testing.assert_allclose(mine.boxes, theirs.boxes, atol=0.01)
    assert write_yolo(sets, tmp_path / "yolo") == described                   # a second time, over the first


@pytest.mark.yolo
def test_weights_that_are_not_here_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = write_coco(tmp_path / "coco")
    with pytest.raises(WeightsError, match=r"vision weights pull yolo11n\.pt"):
        Training("detect", data, tmp_path / "run", DetectSettings(model="yolo11n.pt"))
    with pytest.raises(WeightsError, match="to resume from"):
        Training("detect", data, tmp_path / "run", DetectSettings(model="yolo11n"), resume=True)


@pytest.mark.slow
@pytest.mark.yolo
def test_a_run_of_ultralytics_opens_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data, folder = write_coco(tmp_path / "coco"), tmp_path / "run"
    run = Training("detect", data, folder, DetectSettings(model="yolo11n", epochs=1, batch=4, crop=(64, 64))).run()
    assert run.weights == folder / "best.pt"
    assert 0 <= run.figures["ap"] <= run.figures["ap50"] <= 1
    detector = Detector.load(folder, device="cpu")
    assert detector.card.file == str(folder / "best.onnx")                    # ultralytics is not needed
    assert detector.names == read_detection(data, "train").names
    assert detector.card.licence.startswith("AGPL-3.0")
    image = np.full((48, 64, 3), 60, np.uint8)
    assert len(detector(image, min_score=0.0, max_detections=5)) == 5
