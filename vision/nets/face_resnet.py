"""dlib's face recognition network: ResNet-29 (He et al. 2016) with half the filters, learned so that pictures of one
person lie within a ball of 0.6 (King 2017, http://blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vision.nets.byte_conv import ByteConv2d

_BLOCKS = (                              # channels before and after, whether the picture is halved
    *[(32, 32, False)] * 3,
    (32, 64, True), *[(64, 64, False)] * 3,
    (64, 128, True), *[(128, 128, False)] * 2,
    (128, 256, True), *[(256, 256, False)] * 2,
    (256, 256, True),
)


class _Residual(nn.Module):
    """Two convolutions beside what came in. One that halves pads what it passes by with channels of zeros, and its
    convolutions' output with a row and a column of zeros where it is the smaller one."""

    def __init__(self, before: int, after: int, halves: bool) -> None:
        super().__init__()
        self.halves, self.more = halves, after - before
        self.conv1 = ByteConv2d(before, after, 3, 2 if halves else 1, 0 if halves else 1)
        self.conv2 = ByteConv2d(after, after, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B,before,H,W) -> (B,after,h,w)."""
        out = self.conv2(F.relu(self.conv1(x)))
        if not self.halves:
            return F.relu(out + x)
        passed = F.pad(F.avg_pool2d(x, 2), (0, 0, 0, 0, 0, self.more))
        short = passed.shape[-1] - out.shape[-1]
        return F.relu(F.pad(out, (0, short, 0, short)) + passed)


class FaceResNet(nn.Module):
    """Aligned faces (B,3,150,150), normalised RGB, to vectors (B,128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ByteConv2d(3, 32, 7, 2)
        self.blocks = nn.Sequential(*(_Residual(*of_one) for of_one in _BLOCKS))
        self.head = ByteConv2d(256, 128, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors whose Euclidean distance says how unlike two faces are."""
        x = self.blocks(F.max_pool2d(F.relu(self.stem(x)), 3, 2))
        vectors: Tensor = self.head(x.mean((2, 3), keepdim=True))
        return vectors.flatten(1)
