"""The comparison of the back ends: its numbers, and those of the models that ship."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import typer
from typer.testing import CliRunner

import vision.engine.check as checking
from vision.card import Card
from vision.cli import models
from vision.engine import FakeEngine, Outputs
from vision.engine.base import CannotRun
from vision.engine.choice import Candidate
from vision.engine.skeleton import fill, find
from vision.errors import EngineError
from vision.weights import locate, resolve
from vision.zoo import CARDS


@pytest.fixture(autouse=True)
def _one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast an engine is matters to none of these."""
    monkeypatch.setattr("vision.engine.choice._TURNS", 1)


def outputs(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    boxes = np.array([[10.0, 600.0]], np.float32).repeat(len(batch), 0)
    return boxes, np.full((len(batch), 2), 0.5, np.float32), np.arange(8, dtype=np.uint8)[None].repeat(len(batch), 0)


def faked(function: Callable[[Candidate], Callable[[np.ndarray], Outputs] | None]) -> Callable[..., FakeEngine]:
    """`start_engine` with what `function` gives for a candidate; None: it cannot run this."""

    def start(candidate: Candidate) -> FakeEngine:
        made = function(candidate)
        if made is None:
            raise CannotRun("not here")
        engine = FakeEngine(made)
        engine.label = f"{candidate.backend} {candidate.precision}"
        return engine

    return start


@pytest.mark.parametrize(("got", "wanted", "found"), [
    ([1.0, 4.0], [1.0, 2.0], (2.0, 1.0)), ([np.nan, np.nan], [1.0, 2.0], (np.inf, np.inf)),
    ([1.0, 2.0], [1.0, np.nan], (np.inf, np.inf)), ([1.0, np.nan], [np.nan, 1.0], (np.inf, np.inf)),
    ([1.5, np.nan], [1.0, np.nan], (0.5, 0.5)), ([np.inf, 6.0], [np.inf, 4.0], (2.0, 0.5)),
    ([np.inf, 4.0], [-np.inf, 4.0], (np.inf, np.inf)), ([], [], (0.0, 0.0)),
])
def test_what_is_no_number_differs_from_one(got: list[float], wanted: list[float], found: tuple[float, float]) -> None:
    assert checking.difference(np.array(got, np.float32), np.array(wanted, np.float32)) == found


def test_differences_are_of_the_worst_output(
    card: Card, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        boxes, scores, labels = outputs(batch)
        labels[-1, 3] = 99
        return boxes - 6, np.add(scores, [0, 0.03]), labels

    def scores_off(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        boxes, scores, labels = outputs(batch)
        return boxes - 6, np.add(scores, [0, 0.03]), labels

    def of(candidate: Candidate) -> Callable[[np.ndarray], Outputs] | None:
        if candidate.precision == "fp16" or candidate.backend == "opencv":
            return None
        return {"openvino": off, "onnxruntime": scores_off}.get(candidate.backend, outputs)

    monkeypatch.setattr(checking, "start_engine", faked(of))
    rows = {(r.engine, r.streams): r for r in checking.check(card, list(pictures[:2]))}
    assert set(rows) == {(f"{b} {p}", s) for b, p, s in [
        ("openvino", "fp32", 0), ("openvino", "fp32", 1), ("openvino", "bf16", 0), ("openvino", "bf16", 1),
        ("onnxruntime", "fp32", 0), ("onnxruntime", "bf16", 0), ("torch", "fp32", 0), ("torch", "bf16", 0)]}
    worst = rows["openvino fp32", 0]
    assert (worst.output, worst.absolute, worst.relative, worst.allowed) == (2, 1 / 16, 1 / 16, False)
    worst = rows["onnxruntime fp32", 0]
    assert (worst.output, worst.relative) == (1, pytest.approx(0.03))        # boxes: 6 of 600
    assert not worst.allowed                                                 # the tolerance is 0.02
    assert rows["torch fp32", 0].relative == 0
    assert rows["torch fp32", 0].allowed
    assert rows["torch bf16", 0].allowed is None                             # nothing was measured that could judge
    assert all(row.speed > 0 for row in rows.values())


def test_what_the_metric_allows_is_allowed_however_far_single_scores_move(
    card: Card, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "start_engine", faked(
        lambda c: (lambda batch: (np.full((len(batch), 2), 0.5 if c.precision == "fp32" else 0.9, np.float32),))))
    for loss, allowed in ((0.0099, True), (0.0101, False)):
        judged = replace(card, figures={"fp32": {"AP": 0.5}, "bf16": {"AP": 0.5 - loss, "AP50": 0.1}})
        rows = {r.engine: r for r in checking.check(judged, list(pictures[:1]))}
        assert rows["openvino bf16"].relative == pytest.approx(0.4)
        assert rows["openvino bf16"].allowed == allowed
        assert rows["openvino bf16"].why == f"AP {0.5 - loss:.4f}, in fp32 0.5000"


def test_outputs_of_another_shape_are_never_allowed(
    card: Card, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "start_engine", faked(
        lambda c: (lambda batch: (np.zeros((len(batch), 2 if c.backend == "torch" else 3), np.float32),))))
    rows = checking.check(replace(card, tolerance=1e9), list(pictures[:1]))
    assert {r.engine for r in rows if r.allowed is False} == {"openvino fp32", "onnxruntime fp32", "opencv fp32"}


def test_a_network_of_clips_is_not_compared_on_pictures(pictures: np.ndarray) -> None:
    with pytest.raises(EngineError, match="takes clips of 8 frames"):
        checking.check(CARDS["two-stream-ucf101-3"], list(pictures[:1]))


def test_every_back_end_agrees_on_the_tiny_network(card: Card, pictures: np.ndarray) -> None:
    rows = list(checking.check(card, list(pictures[:2]), "cpu"))
    single = [r for r in rows if r.engine.endswith("fp32")]
    assert {r.engine.split()[0] for r in single} == {"openvino", "onnxruntime", "opencv", "torch"}
    assert max(r.relative for r in single) < 1e-5
    assert all(r.relative < 0.1 for r in rows)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "weights").glob("*.graph")), ids=lambda p: p.stem)
def test_a_shipped_graph_is_whole_with_its_weights(path: Path) -> None:
    card = CARDS[path.stem]
    content = find(card, resolve(card))
    assert content is not None
    onnx.checker.check_model(fill(content, resolve(card)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, c in CARDS.items() if c.url is None and c.clip.frames == 1
                                  and c.form != "openvino" and locate(c)])
def test_what_ships_agrees_and_its_figures_allow_what_runs(name: str, photos: dict[str, Path]) -> None:
    card, images = CARDS[name], [cv2.imread(str(p)) for p in photos.values()]
    rows = checking.check(card, images, "cpu")
    exact = [r for r in rows if r.engine.endswith("fp32")]
    assert {r.engine for r in exact} >= {"openvino CPU fp32", "onnxruntime CPU fp32"}
    assert max(r.relative for r in exact) < 1e-3
    assert all(r.allowed for r in exact)
    if card.int8:
        (small,) = (r for r in rows if r.engine == "openvino CPU int8" and r.streams == 0)
        assert small.allowed
        assert 0 < small.relative < 0.25


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
    assert CliRunner().invoke(app, command).exit_code == 1
