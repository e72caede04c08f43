"""MobileNetV2 (Sandler et al. 2018) cut where it strides, for networks that need what lies there."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from vision.nets.unpool import pool

STRIDED = (2, 4, 7, 14)                # blocks of `features` with stride 2, after the stem's own
EXPANDED = (96, 144, 192, 576)         # channels of their expansions, at 1/2, 1/4, 1/8, 1/16
BOTTLENECK, LAST = 320, 1280           # channels at 1/32: of the last block, and of the last convolution


class MobileStages(nn.Sequential):
    """torchvision's `mobilenet_v2().features`, with the same names, that hands out its inside.

    last: run the last convolution too. pooled: each strided block's stride becomes a 2x2 max-pooling
    of its expansion, as SegNet needs it; the weights stay what they are.
    """

    def __init__(self, last: bool, pooled: bool = False) -> None:
        blocks = list(mobilenet_v2(weights=None).features)
        super().__init__(*(blocks if last else blocks[:-1]))
        self.pooled = pooled
        if pooled:
            for i in STRIDED:
                depthwise = self[i].get_submodule("conv.1.0")
                assert isinstance(depthwise, nn.Conv2d)
                depthwise.stride = (1, 1)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """(B,3,H,W) -> the four strided blocks' expansions, finest first; with `pooled`, where their
        maxima lie; and the last map, at 1/32."""
        expansions, places = [], []
        for i, block in enumerate(self):
            if i in STRIDED:
                expand, *rest = block.get_submodule("conv").children()
                x = expand(x)
                expansions.append(x)
                if self.pooled:
                    x, found = pool(x)
                    places.append(found)
                for layer in rest:
                    x = layer(x)
            else:
                x = block(x)
        return expansions, places, x
