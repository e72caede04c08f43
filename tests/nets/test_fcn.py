"""FCN against the paper: parameters, bilinear upsampling, skips."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from vision.errors import ModelError
from vision.nets.fcn import FCN, bilinear_kernel, upsampling


def parameters(net: torch.nn.Module, learned: bool = True) -> int:
    return sum(p.numel() for p in net.parameters() if p.requires_grad or not learned)


def test_fcn32s_has_the_parameters_that_the_paper_s_layers_have() -> None:
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    vgg = sum(9 * a * b + b for a, b in itertools.pairwise(widths))
    fc6, fc7, score = 7 * 7 * 512 * 4096 + 4096, 4096 * 4096 + 4096, 4096 * 21 + 21
    with torch.device("meta"):
        net = FCN(21, 32)
    assert vgg == 14_714_688
    assert parameters(net) == vgg + fc6 + fc7 + score == 134_346_581        # "134 M" in its Table 1


def test_fcn8s_adds_two_scores_and_two_learned_upsamplings() -> None:
    with torch.device("meta"):
        added = parameters(FCN(21, 8)) - parameters(FCN(21, 32))
    assert added == (512 * 21 + 21) + (256 * 21 + 21) + 2 * (4 * 4 * 21 * 21)


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_the_upsampling_starts_as_bilinear_interpolation(factor: int) -> None:
    x = torch.randn(1, 3, 6, 7)
    up = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    inside = (..., slice(factor, -factor), slice(factor, -factor))          # the edge sees zeros beyond
    for learned in (True, False):
        mine = upsampling(3, factor, learned)(x)
        assert mine.shape == up.shape
        torch.testing.assert_close(mine[inside], up[inside], atol=1e-5, rtol=1e-5)


def test_the_bilinear_kernel_of_two_is_the_known_one() -> None:
    row = torch.tensor([0.25, 0.75, 0.75, 0.25])
    torch.testing.assert_close(bilinear_kernel(2), row[:, None] * row[None])


def test_fcn8s_begins_as_fcn32s_does() -> None:
    """Before it learns, the skips add nothing: what is left is the coarse score, interpolated."""
    torch.manual_seed(0)
    net = FCN(5, 8, "mobilenet_v2").eval()
    x = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        expected = net.score(net.encoder(x)[2])
        for factor in (2, 2, 8):
            expected = F.interpolate(expected, scale_factor=factor, mode="bilinear", align_corners=False)
        logits = net(x)
    middle = (..., slice(96, 160), slice(96, 160))
    assert logits[middle].abs().max() > 0
    torch.testing.assert_close(logits[middle], expected[middle], atol=0, rtol=1e-3)


@pytest.mark.parametrize("size_hw", [(64, 96), (97, 131), (33, 32)])
@pytest.mark.parametrize("finest", [8, 16, 32])
def test_logits_have_the_picture_s_size(size_hw: tuple[int, int], finest: int) -> None:
    net = FCN(4, finest, "mobilenet_v2").eval()
    with torch.inference_mode():
        logits = net(torch.randn(1, 3, *size_hw))
        assert logits.shape == (1, 4, *size_hw)
        assert torch.equal(net.decode(logits, (0, 0))[0].long(), logits[0].argmax(0))


def test_an_unknown_encoder_is_told() -> None:
    with pytest.raises(ModelError, match="vgg16 and mobilenet_v2"):
        FCN(3, 8, "resnet18")


def test_imagenet_names_fit_strictly_into_segmentation_models_pytorch() -> None:
    import segmentation_models_pytorch as smp
    from torchvision.models import mobilenet_v2

    mine = FCN(3, 8, "mobilenet_v2").encoder.state_dict()
    theirs = smp.encoders.get_encoder("mobilenet_v2", weights=None)
    assert mine.keys() == theirs.state_dict().keys()
    published = mobilenet_v2(weights=None).state_dict()
    assert mine.keys() == {name for name in published if name.startswith("features.")}
