"""Layers that round as int8 does, against arithmetic by hand."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from vision.train.rounding import RoundedConv2d, round_layers, rounded_weight
from vision.train.segment import SegmentSettings
from vision.train.training import Training


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2, 2, groups=2),
                         nn.Flatten(), nn.Linear(4 * 64, 5))


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_are_whole_steps_of_their_channel(axis: int) -> None:
    weight = torch.randn(4, 5, 3, 3)
    weight.select(axis, 2).zero_()                       # a channel that says nothing stays 0
    rounded = rounded_weight(weight, axis).numpy()
    for place in range(weight.shape[axis]):
        given, found = weight.select(axis, place).numpy(), np.take(rounded, place, axis)
        step = max(np.abs(given).max() / 127, 1e-8)
        np.testing.assert_allclose(found, np.rint(given / step) * step, atol=step * 1e-3)
    assert np.abs(rounded - weight.numpy()).max() <= np.abs(weight.numpy()).max() / 254 + 1e-6


def test_a_layer_computes_what_bytes_would() -> None:
    conv = nn.Sequential(nn.Conv2d(2, 3, 3))
    round_layers(conv)
    x = torch.rand(1, 2, 6, 6) * 3 - 1
    with torch.no_grad():
        conv.train()(x)                                  # the range is that of x
        found = conv.eval()(x)
        layer = conv[0]
        low, high = float(x.min()), float(x.max())
        step = (high - low) / 255
        zero = round(-low / step)
        bytes_ = torch.clamp(torch.round(x / step) + zero, 0, 255) - zero
        scale = layer.weight.abs().amax((1, 2, 3)) / 127
        whole = torch.round(layer.weight / scale[:, None, None, None])
        twin = F.conv2d(bytes_, whole) * step * scale[None, :, None, None] + layer.bias[None, :, None, None]
    torch.testing.assert_close(found, twin, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        outside = conv.eval()(x * 10)                    # is cut to the range, which judging does not move
        torch.testing.assert_close(conv(x), found)
        assert float(outside.abs().max()) < float(F.conv2d(x * 10, layer.weight).abs().max())


def test_parameters_and_their_names_stay() -> None:
    net = _net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert round_layers(net) == 3
    assert round_layers(net) == 0
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    _net().load_state_dict(net.state_dict())


def test_outputs_are_near_those_without_rounding_and_not_equal() -> None:
    net, x = _net(), torch.rand(2, 3, 4, 4)
    exact = net.eval()(x)
    round_layers(net)
    net.train()(x)
    error = float((net.eval()(x) - exact).abs().max() / exact.abs().max())
    assert 0 < error < 0.05


def test_gradients_pass_as_if_nothing_were_rounded() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    round_layers(net)
    x = torch.rand(5, 3)
    net.train()(x)
    net(x).sum().backward()
    expected = net[0].range.rounded(x).sum(0).expand(2, 3)
    torch.testing.assert_close(net[0].weight.grad, expected)


def test_a_copy_that_is_averaged_shares_the_ranges() -> None:
    net = _net()
    round_layers(net)
    twin = copy.deepcopy(net)
    net.train()(torch.rand(1, 3, 4, 4))
    assert isinstance(twin[0], RoundedConv2d)
    assert twin[0].range is net[0].range
    assert twin[0].range.ends is not None
    assert twin[0].weight is not net[0].weight


def test_a_run_that_goes_on_rounds_as_the_whole_one(rectangles: Path, tmp_path: Path) -> None:
    settings = SegmentSettings(
        model="fcn-basic", size=(64, 48), crop=(64, 48), encoder_weights="none", epochs=1, batch=8, warmup=0.0,
        qat=True, threads=1, schedule="constant")
    longer = replace(settings, epochs=2)
    Training("segment", rectangles, tmp_path / "whole", longer).run()
    Training("segment", rectangles, tmp_path / "parts", settings).run()
    Training("segment", rectangles, tmp_path / "parts", longer, resume=True).run()
    whole, parts = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "parts"))
    assert whole["ranges"]
    for key in ("ranges", "state_dict"):
        assert whole[key].keys() == parts[key].keys()
        assert all(torch.equal(value, parts[key][name]) for name, value in whole[key].items()), key


def test_what_is_learnt_with_rounding_survives_it() -> None:
    """A layer of few channels whose weights differ widely: trained with rounding it loses less by it."""
    torch.manual_seed(1)
    x = torch.randn(512, 16)
    target = torch.tanh(x @ torch.randn(16, 4))

    def left(aware: bool) -> float:
        torch.manual_seed(2)
        net = nn.Sequential(nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 4))
        with torch.no_grad():
            net[0].weight[:, 0] *= 300                   # one input's weight takes all of the scale
        net[0].weight.register_hook(lambda grad: torch.cat([torch.zeros(6, 1), grad[:, 1:]], 1))
        data = x.clone()
        data[:, 0] /= 300
        if aware:
            round_layers(net)
        steps = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(400):
            steps.zero_grad()
            F.mse_loss(net.train()(data), target).backward()
            steps.step()
        if not aware:
            round_layers(net)
            with torch.no_grad():
                net.train()(data)
        return float(F.mse_loss(net.eval()(data), target))

    assert left(True) < 0.8 * left(False)
