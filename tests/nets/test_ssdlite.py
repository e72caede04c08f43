"""The bootstrap detector's network against torchvision's own parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_convert

from vision.nets.ssdlite import anchors, ssdlite

SCALES = [0.07, 0.16, 0.33, 0.51, 0.69, 0.87, 1.02]
RATIOS = [[2], [2, 3], [2, 3], [2, 3], [2, 3], [2, 3]]


def default_boxes(steps: list[int], side: int, cells: list[int]) -> Tensor:
    """torchvision's anchors, (A,4) xyxy in pixels, for a square picture."""
    generator = DefaultBoxGenerator(RATIOS, scales=SCALES, steps=steps)
    maps = [torch.zeros(1, 1, c, c) for c in cells]
    return generator(ImageList(torch.zeros(1, 3, side, side), [(side, side)]), maps)[0]


def test_anchors_are_torchvisions_at_the_size_of_training() -> None:
    expected = default_boxes([8, 16, 32, 64, 107, 160], 320, [40, 20, 10, 5, 3, 2])
    found = box_convert(anchors((320, 320)), "cxcywh", "xyxy")
    assert found.shape == (9628, 4)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_anchors_keep_their_size_in_pixels_on_a_larger_picture() -> None:
    small, large = anchors((320, 320)), anchors((640, 640))
    assert small[:, 2:].unique(dim=0).tolist() == large[:, 2:].unique(dim=0).tolist()
    assert large[0].tolist() == pytest.approx([4, 4, 22.4, 22.4])
    assert large[-1, :2].tolist() == [640, 640]                  # the last of 3 x 3 cells of 256 pixels


@pytest.mark.parametrize("size_wh", [(640, 480), (640, 352), (352, 640), (320, 256), (500, 333)])
def test_there_is_an_anchor_for_every_output(size_wh: tuple[int, int]) -> None:
    with torch.device("meta"):                                   # shapes alone, nothing is computed
        offsets, logits = ssdlite().eval()(torch.zeros(1, 3, size_wh[1], size_wh[0]))
    assert offsets.shape == (1, len(anchors(size_wh)), 4)
    assert logits.shape == (1, len(anchors(size_wh)), 21)


def test_decoding_is_the_box_coders_and_drops_the_background() -> None:
    torch.manual_seed(1)
    prior = anchors((320, 320))
    offsets, logits = torch.randn(2, len(prior), 4) * 3, torch.randn(2, len(prior), 21)
    boxes, scores = ssdlite().decode((offsets, logits), (320, 320))
    corners = box_convert(prior, "cxcywh", "xyxy")
    for i in range(2):
        expected = BoxCoder((10, 10, 5, 5)).decode_single(offsets[i], corners)
        torch.testing.assert_close(boxes[i], expected, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(scores, logits.softmax(-1)[..., 1:])


def test_it_has_the_parameters_that_its_docstring_counts() -> None:
    assert sum(p.numel() for p in ssdlite().parameters()) == 3_565_714
