"""Weights as bytes: what is lost, and that graphs agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vision.engine import load
from vision.nets import build
from vision.nets.byte_conv import ByteConv2d
from vision.weights import resolve
from vision.zoo import CARDS


@pytest.mark.parametrize("groups", [1, 8])
def test_bytes_are_within_half_a_step(groups: int) -> None:
    torch.manual_seed(0)
    conv = ByteConv2d(8, 16, 3, 2, 1, groups)
    weight, bias, x = torch.randn(16, 8 // groups, 3, 3), torch.randn(16), torch.randn(2, 8, 9, 11)
    conv.take(weight, bias)
    kept = conv.weight.float() * conv.scale.view(-1, 1, 1, 1) + conv.low.view(-1, 1, 1, 1)
    step = (weight.amax((1, 2, 3)) - weight.amin((1, 2, 3))) / 255
    assert ((kept - weight).abs().amax((1, 2, 3)) <= 0.5001 * step).all()
    assert torch.allclose(conv(x), F.conv2d(x, kept, bias, 2, 1, groups=groups), atol=1e-5)


@pytest.mark.parametrize("name", ["dlib-face", "face-attributes"])
def test_what_ships_is_small_and_runs_alike(name: str) -> None:
    card = CARDS[name]
    net = build(card.net)
    numbers = sum(tensor.numel() for tensor in net.state_dict().values())
    assert resolve(card).stat().st_size < 1.03 * numbers + 60_000 + 3 * sum(
        t.numel() for t in net.state_dict().values() if t.is_floating_point())
    side = card.input.size_wh[0]
    batch = np.random.default_rng(0).integers(0, 255, (1, side, side, 3), np.uint8)
    answers = []
    for backend in ("torch", "openvino"):
        engine = load(card, precision="fp32", backend=backend)
        answers.append(engine(batch))
        engine.close()
    for exact, fast in zip(*answers, strict=True):
        assert np.abs(exact - fast).max() < 1e-3
