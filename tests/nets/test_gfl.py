"""The anchor-free detector: where its cells lie, what its distributions mean, what stands still."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from vision.card import Card, Input, card_of
from vision.engine import load
from vision.engine.program import program_of
from vision.nets import build
from vision.nets.gfl import STRIDES, points
from vision.train.fit import save_weights

SIZE = (96, 160)                                             # width, height: not a multiple of 64


def test_every_cell_has_a_point_in_its_middle() -> None:
    centres, strides = points(SIZE)
    expected = [
        ((x + 0.5) * s, (y + 0.5) * s, s)
        for s in STRIDES for y in range(-(-SIZE[1] // s)) for x in range(-(-SIZE[0] // s))
    ]
    assert torch.cat([centres, strides[:, None]], 1).tolist() == [list(e) for e in expected]


@pytest.mark.parametrize("size", [SIZE, (32, 32), (64, 192)])
def test_outputs_have_a_row_for_each_point(size: tuple[int, int]) -> None:
    net = build("gfl", classes=3).eval()
    logits, distances = net(torch.zeros(2, 3, size[1], size[0]))
    cells = len(points(size)[0])
    assert logits.shape == (2, cells, 3)
    assert distances.shape == (2, cells, 4, 8)


def test_boxes_are_the_means_of_their_distributions() -> None:
    net = build("gfl", classes=1)
    centres, strides = points(SIZE)
    chosen = torch.randint(0, 8, (1, len(centres), 4), generator=torch.Generator().manual_seed(1))
    certain = torch.nn.functional.one_hot(chosen, 8).float() * 50           # one bin has all of it
    boxes, scores = net.decode((torch.full((1, len(centres), 1), -1.0), certain), SIZE)
    left, top, right, bottom = (chosen[0, :, i] * strides for i in range(4))
    x, y = centres.T
    expected = torch.stack([x - left, y - top, x + right, y + bottom], 1)
    torch.testing.assert_close(boxes[0], expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(scores, torch.full_like(scores, 0.268941), atol=1e-6, rtol=0)
    halves = torch.zeros(1, len(centres), 4, 8)
    halves[..., 2] = halves[..., 5] = 50.0                   # half at 2, half at 5 strides: 3.5
    boxes = net.boxes(halves, SIZE)[0]
    torch.testing.assert_close(boxes[:, 2] - boxes[:, 0], 7 * strides, atol=1e-2, rtol=0)


def test_classes_exclude_each_other() -> None:
    net = build("gfl", classes=3)
    cells = len(points(SIZE)[0])
    logits = torch.randn(2, cells, 3, generator=torch.Generator().manual_seed(2)) * 3
    _, scores = net.decode((logits, torch.zeros(2, cells, 4, 8)), SIZE)
    alone = logits.sigmoid()
    for cell in (0, 5, cells - 1):
        for k in range(3):
            rival = max(float(alone[1, cell, j]) for j in range(3) if j != k)
            expected = 1 / (1 + math.exp(1.5 * rival - float(logits[1, cell, k])))
            assert float(scores[1, cell, k]) == pytest.approx(expected, abs=1e-5)
    assert (scores.argmax(-1) == logits.argmax(-1)).all()                    # the order stays


def test_a_new_network_believes_in_nothing() -> None:
    torch.manual_seed(0)
    net = build("gfl", classes=4).eval()
    with torch.no_grad():
        logits, _ = net(torch.rand(1, 3, 64, 64))
    assert logits.sigmoid().mean() == pytest.approx(0.01, abs=0.003)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_back_ends_agree_with_torch(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    net = build("gfl", classes=3)
    net(torch.rand(4, 3, 96, 128))                           # norms that have seen something
    card = Card(name="gfl", task="detect", net="gfl", file="", licence="", source="",
                input=Input((128, 96), "letterbox"), names=("a", "b", "c"), config={"classes": 3}, tolerance=1e-3)
    save_weights(tmp_path / "net.safetensors", net, card, {})
    card = card_of(tmp_path / "net.safetensors")
    picture = np.random.default_rng(0).integers(0, 255, (1, 96, 128, 3), np.uint8)
    with torch.inference_mode():
        expected = program_of(card).module()(torch.from_numpy(picture))
    found = load(card, "cpu", "fp32", backend)(picture)
    np.testing.assert_allclose(found[0], expected[0].numpy(), atol=0.05)     # pixels
    np.testing.assert_allclose(found[1], expected[1].numpy(), atol=1e-4)
