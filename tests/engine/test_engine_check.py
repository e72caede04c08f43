"""The comparison of the back ends: its numbers, and those of the models that ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import vision.engine.check as checking
from vision.card import Card
from vision.cli import models
from vision.engine import FakeEngine
from vision.errors import EngineError
from vision.zoo import CARDS


def outputs(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    boxes = np.array([[10.0, 600.0]], np.float32).repeat(len(batch), 0)
    return boxes, np.full((len(batch), 2), 0.5, np.float32), np.arange(8, dtype=np.uint8)[None].repeat(2, 0)


def test_differences_are_absolute_relative_and_shares(
    card: Card, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        boxes, scores, labels = outputs(batch)
        labels[1, 3] = 99
        return boxes - 6, np.add(scores, [0, 0.03]), labels

    def load(card: Card, device: str, precision: str, backend: str) -> FakeEngine:
        if backend in ("onnxruntime", "opencv") or precision == "bf16":
            raise EngineError("not here")
        engine = FakeEngine(off if backend == "openvino" else outputs)
        engine.label = f"{backend} {precision.replace('auto', 'fp32')}"
        return engine

    monkeypatch.setattr(checking, "load", load)
    rows = list(checking.check(card, list(pictures[:2])))
    assert [(r.engine, r.output) for r in rows] == [
        (engine, i) for engine in ("openvino fp32", "openvino fp16", "torch fp16") for i in range(3)
    ]                                                       # each once; the reference is not its own judge
    boxes, scores, labels = rows[:3]
    assert (boxes.absolute, boxes.relative, boxes.within) == (6, pytest.approx(0.01), True)
    assert (scores.absolute, scores.relative) == (pytest.approx(0.03), pytest.approx(0.03))
    assert not scores.within                                # 0.03 of 1, the tolerance is 0.02
    assert (labels.absolute, labels.within) == (1 / 16, False)
    assert all(r.absolute == 0 and r.within for r in rows[6:])


def test_outputs_of_another_shape_are_never_within(
    card: Card, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(card: Card, device: str, precision: str, backend: str) -> FakeEngine:
        width = 2 if backend == "torch" else 3
        engine = FakeEngine(lambda batch: (np.zeros((1, width), np.float32),))
        engine.label = backend
        return engine

    monkeypatch.setattr(checking, "load", load)
    rows = list(checking.check(replace(card, tolerance=1e9), list(pictures[:1])))
    assert [r.within for r in rows] == [False] * 3


def test_a_network_of_clips_is_not_compared_on_pictures(pictures: np.ndarray) -> None:
    with pytest.raises(EngineError, match="takes clips of 8 frames"):
        next(checking.check(CARDS["two-stream-ucf101-3"], list(pictures[:1])))


def test_every_back_end_agrees_on_the_tiny_network(card: Card, pictures: np.ndarray) -> None:
    rows = list(checking.check(card, list(pictures[:2]), "cpu"))
    single = [r for r in rows if r.engine.endswith("fp32")]
    assert {r.engine.split()[0] for r in single} == {"openvino", "onnxruntime", "opencv"}
    assert max(r.relative for r in single) < 1e-5
    assert all(r.relative < 0.1 for r in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n for n, c in CARDS.items() if c.url is None and c.clip.frames == 1 and c.form != "openvino"]
)
def test_what_ships_keeps_within_its_card(
    name: str, photos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "PRECISIONS", ())        # only what `auto` takes
    card, images = CARDS[name], [cv2.imread(str(p)) for p in photos.values()]
    if card.int8:
        found = [r for r in checking.check(card, images, "cpu") if r.engine == "openvino CPU int8"]
        assert len(found) == 2
        assert all(r.within for r in found)
    rows = list(checking.check(replace(card, int8=None), images, "cpu"))
    assert all(r.within for r in rows)
    openvino = [r.relative for r in rows if r.engine.startswith("openvino")]
    assert openvino
    assert max(openvino) < 1e-3


def test_the_command_prints_the_differences_and_fails_on_a_large_one(
    card: Card, photos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = typer.Typer()
    models.register(app)
    monkeypatch.setitem(CARDS, "tiny", card)
    command = ["models", "check", "tiny", "--device", "cpu", "--picture", str(photos["bus"]), "--json"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert '"engine": "onnxruntime CPU fp32"' in shown.output
    monkeypatch.setitem(CARDS, "tiny", replace(card, tolerance=-1.0))
    monkeypatch.setattr("vision.engine.program.Program.allows", lambda self, precision: precision == "fp32")
    assert CliRunner().invoke(app, command).exit_code == 1
