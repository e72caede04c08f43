"""SegNet against the paper: parameters, and max-unpooling against a loop written out."""

from __future__ import annotations

import itertools
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.errors import ModelError
from vision.nets import build
from vision.nets.bayesian import Bayesian
from vision.nets.segnet import FCNBasic, MobileSegNet, SegNet, SegNetBasic
from vision.nets.unpool import pool, unpool


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def looped(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Max-unpooling written out: `values` (C,h,w) to where each 2x2 window of `x` (C,H,W) is largest."""
    out = np.zeros_like(x)
    for c in range(x.shape[0]):
        for i in range(0, x.shape[1], 2):
            for j in range(0, x.shape[2], 2):
                best = (i, j)
                for a in range(i, min(i + 2, x.shape[1])):
                    for b in range(j, min(j + 2, x.shape[2])):
                        if x[c, a, b] > x[(c, *best)]:
                            best = (a, b)
                out[(c, *best)] = values[c, i // 2, j // 2]
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31), st.booleans())
def test_unpooling_is_the_loop(height: int, width: int, seed: int, exported: bool) -> None:
    random = np.random.default_rng(seed)
    x = random.integers(0, 3, (2, height, width)).astype(np.float32)        # ties on purpose
    values = random.normal(size=(2, -(-height // 2), -(-width // 2))).astype(np.float32)
    with mock.patch("torch.onnx.is_in_onnx_export", return_value=exported):
        best, places = pool(torch.from_numpy(x)[None])
        whole = unpool(torch.from_numpy(values)[None], places, (height, width))
    even = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2)), constant_values=-np.inf)
    windows = even.reshape(2, -(-height // 2), 2, -(-width // 2), 2)
    np.testing.assert_array_equal(best[0].numpy(), windows.max((2, 4)))
    np.testing.assert_array_equal(whole[0].numpy(), looped(x, values))


def test_segnet_has_the_parameters_of_its_layers() -> None:
    with torch.device("meta"):
        net = SegNet(11)
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    down = sum(9 * a * b for a, b in itertools.pairwise(widths))
    mirror = widths[:0:-1]                                   # 512 ... 64: without the classifier
    up = sum(9 * a * b for a, b in itertools.pairwise(mirror))
    norms = 2 * (sum(widths[1:]) + sum(mirror[1:]))
    assert parameters(net) == down + up + norms + (9 * 64 * 11 + 11)
    assert parameters(net) == pytest.approx(29.46e6, rel=0.002)   # as the ENet paper counts SegNet


def test_the_basic_variants_have_the_parameters_of_table_1() -> None:
    with torch.device("meta"):
        assert parameters(SegNetBasic(11)) == pytest.approx(1.425e6, rel=0.01)
        assert parameters(FCNBasic(11)) == pytest.approx(0.65e6, rel=0.01)


@pytest.mark.parametrize("size_hw", [(64, 96), (90, 123)])
@pytest.mark.parametrize("name", ["segnet", "segnet-mobile", "segnet-basic", "fcn-basic"])
def test_logits_have_the_picture_s_size(name: str, size_hw: tuple[int, int]) -> None:
    config: dict[str, Any] = {"classes": 5}
    if name == "segnet-mobile":
        name, config = "segnet", {**config, "encoder": "mobilenet_v2"}
    net = build(name, **config).eval()
    with torch.inference_mode():
        assert net(torch.randn(1, 3, *size_hw)).shape == (1, 5, *size_hw)


def test_the_light_encoder_is_mobilenet_and_shows_where_it_strides() -> None:
    from torchvision.models import mobilenet_v2

    torch.manual_seed(1)
    published = mobilenet_v2(weights=None).eval()
    net = MobileSegNet(3).eval()
    state = {k: v for k, v in published.state_dict().items() if k in net.encoder.state_dict()}
    net.encoder.load_state_dict(state)                       # strict: the names are torchvision's
    x = torch.randn(1, 3, 70, 64)
    with torch.inference_mode():
        expansions, deep = net.encoder(x)
        torch.testing.assert_close(deep, published.features[:-1](x))
        torch.testing.assert_close(expansions[1], published.features[4].conv[0](published.features[:4](x)))
    assert [tuple(e.shape[1:]) for e in expansions] == [(96, 35, 32), (144, 18, 16), (192, 9, 8), (576, 5, 4)]


def test_uncertainty_is_what_the_passes_differ_by() -> None:
    torch.manual_seed(0)
    net = Bayesian("segnet", {"classes": 4, "encoder": "mobilenet_v2", "dropout": 0.5}, passes=3).eval()
    plain = build("segnet", classes=4, encoder="mobilenet_v2", dropout=0.5)
    for layer in plain.modules():                            # as after training: statistics that fit
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    x = torch.randn(2, 3, 32, 64)
    with torch.no_grad():
        plain(x)
    net.load_state_dict(plain.state_dict())                  # its weights have the network's own names
    with torch.inference_mode():
        torch.manual_seed(5)
        mean, variance = net(x)
        torch.manual_seed(5)
        passes = torch.stack([net.net(x).softmax(1) for _ in range(3)])
    torch.testing.assert_close(mean, passes.mean(0))
    torch.testing.assert_close(variance, passes.var(0, unbiased=False).mean(1), atol=1e-6, rtol=1e-3)
    assert variance.max() > 1e-4


def test_a_network_without_dropout_has_no_uncertainty() -> None:
    with pytest.raises(ModelError, match="without dropout"):
        Bayesian("segnet-basic", {"classes": 3})


def test_unknown_names_are_told() -> None:
    with pytest.raises(ModelError, match="vgg16 and mobilenet_v2"):
        build("segnet", classes=3, encoder="resnet18")
    with pytest.raises(ModelError, match="unet:resnet999"):
        build("smp", arch="unet", encoder="resnet999", classes=3)


@pytest.mark.parametrize("arch", ["unet", "fpn", "deeplabv3plus"])
def test_segmentation_models_pytorch_takes_any_size(arch: str) -> None:
    net = build("smp", arch=arch, encoder="mobilenet_v2", classes=4).eval()
    with torch.inference_mode():
        assert net(torch.randn(1, 3, 75, 101)).shape == (1, 4, 75, 101)


def test_torchvision_s_own_weights_would_load() -> None:
    from torchvision.models.segmentation import fcn_resnet50

    with torch.device("meta"):
        published = fcn_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
        mine = build("torchvision_segmenter", arch="fcn_resnet50")
    assert {k: v.shape for k, v in mine.state_dict().items()} == {
        k: v.shape for k, v in published.state_dict().items()
    }
    with pytest.raises(ModelError, match="lraspp"):
        build("torchvision_segmenter", arch="lraspp_mobilenet_v3_large")
