"""The torch back end on a CUDA device: what no CPU can tell. `pytest -m gpu`."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from tiny import by_hand

from vision.card import Card
from vision.engine import load
from vision.zoo import CARDS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here"),
]


@pytest.mark.parametrize(("precision", "scores_off", "pixels_off"), [
    ("fp32", 1e-3, 0.05), ("fp16", 0.005, 0.5), ("bf16", 0.05, 1.0),
])
def test_agrees_with_the_cpu(
    card: Card, pictures: np.ndarray, precision: str, scores_off: float, pixels_off: float
) -> None:
    engine = load(card, "cuda", precision, "torch")
    scores, boxes = engine(pictures)
    expected = by_hand(card, pictures)
    assert np.abs(scores - expected[0]).max() < scores_off
    assert np.abs(boxes - expected[1]).max() < pixels_off
    assert scores.dtype == boxes.dtype == np.float32
    engine.close()


def test_auto_takes_the_device_in_half_precision(card: Card) -> None:
    engine = load(card)
    assert engine.label == "torch CUDA fp16"
    engine.close()


def test_many_batches_on_two_streams_keep_their_results(card: Card, pictures: np.ndarray) -> None:
    engine = load(card, "cuda", "fp32", "torch")
    expected = by_hand(card, pictures)[0]
    order = [np.roll(np.arange(6), i) for i in range(200)]
    futures = [engine.submit(pictures[rows]) for rows in order]          # each its own memory
    for rows, future in zip(order, futures, strict=True):
        np.testing.assert_allclose(future.result()[0], expected[rows], atol=1e-3)
    engine.close()


def test_memory_that_really_runs_out(caplog: pytest.LogCaptureFixture) -> None:
    engine = load(CARDS["gfl-voc"], "cuda", "fp32", "torch")
    one = np.random.default_rng(0).integers(0, 256, (1, 640, 640, 3), np.uint8)
    expected = engine(one)[1]
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 600e6 / total))
    try:
        with caplog.at_level(logging.WARNING, "vision.engine"):
            got = engine(one.repeat(64, 0))[1]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [r.getMessage() for r in caplog.records].count(
        "torch CUDA fp32: out of memory with 64 pictures; smaller batches from now on") == 1
    np.testing.assert_allclose(got, expected.repeat(64, 0), atol=1e-3)
    engine.close()
