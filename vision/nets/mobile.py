"""MobileNetV2 (Sandler et al. 2018) cut where it strides, for networks that need what lies there."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import mobilenet_v2

STRIDED = (2, 4, 7, 14)                # blocks of `features` with stride 2, after the stem's own
EXPANDED = (96, 144, 192, 576)         # channels of their expansions, at 1/2, 1/4, 1/8, 1/16
BOTTLENECK, LAST = 320, 1280           # channels at 1/32: of the last block, and of the last convolution


class MobileStages(nn.Sequential):
    """torchvision's `mobilenet_v2().features`, with the same names, that hands out its inside.

    last: run the last convolution too.
    """

    def __init__(self, last: bool) -> None:
        blocks = list(mobilenet_v2(weights=None).features)
        super().__init__(*(blocks if last else blocks[:-1]))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B,3,H,W) -> the expansions of the four strided blocks, finest first, and the last map, at
        1/32."""
        expansions = []
        for i, block in enumerate(self):
            if i in STRIDED:
                expand, *rest = block.get_submodule("conv").children()
                x = expand(x)
                expansions.append(x)
                for layer in rest:
                    x = layer(x)
            else:
                x = block(x)
        return expansions, x
