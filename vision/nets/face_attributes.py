"""What a small network guesses from a face: its expression, its age, how its gender presents.

The two networks of face-api.js (Mühler 2018, MIT): dense blocks of separable convolutions (Huang et al. 2017,
Chollet 2017) for the expression, a small Xception for age and gender.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vision.nets.byte_conv import ByteConv2d


class _Separable(nn.Sequential):
    """Each channel by itself, then all of them point by point. Halving, it looks to the right and down."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__(
            nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)),
            ByteConv2d(before, before, 3, stride, 0, before), ByteConv2d(before, after, 1),
        )


def _first(after: int) -> nn.Sequential:
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), ByteConv2d(3, after, 3, 2))


class _Dense(nn.Module):
    """Four convolutions, each of which sees the sum of those before it."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        enter = _first(after) if before == 3 else _Separable(before, after, 2)
        self.convs = nn.ModuleList([enter, *(_Separable(after, after) for _ in range(3))])

    def forward(self, x: Tensor) -> Tensor:
        """(B,before,H,W) -> (B,after,H/2,W/2)."""
        total = seen = F.relu(self.convs[0](x))
        for conv in list(self.convs)[1:]:
            total = total + conv(seen)
            seen = F.relu(total)
        return seen


class _Reduce(nn.Module):
    """Xception's block that halves."""

    def __init__(self, before: int, after: int, activate: bool = True) -> None:
        super().__init__()
        self.activate = activate
        self.convs = nn.ModuleList([_Separable(before, after), _Separable(after, after)])
        self.beside = ByteConv2d(before, after, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B,before,H,W) -> (B,after,H/2,W/2)."""
        out = self.convs[0](F.relu(x) if self.activate else x)
        out = self.convs[1](F.relu(out))
        beside: Tensor = self.beside(x)
        return F.max_pool2d(out, 3, 2, ceil_mode=True) + beside


class _Main(nn.Module):
    """Xception's block of the middle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_Separable(channels, channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) -> the same."""
        out = x
        for conv in self.convs:
            out = conv(F.relu(out))
        return out + x


class FaceAttributes(nn.Module):
    """Faces (B,3,112,112), normalised RGB, to what is guessed of them."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(_Dense(*of_one) for of_one in ((3, 32), (32, 64), (64, 128), (128, 256))))
        self.expression = ByteConv2d(256, 7, 1)
        self.xception = nn.Sequential(
            _first(32), nn.ReLU(), _Reduce(32, 64, activate=False), _Reduce(64, 128), _Main(128), _Main(128),
            _Reduce(128, 256), _Separable(256, 512), nn.ReLU(),
        )
        self.age, self.gender = ByteConv2d(512, 1, 1), ByteConv2d(512, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities of the expressions (B,7), years (B,1), probabilities of male and female (B,2)."""
        mood, years = (net(x).mean((2, 3), keepdim=True) for net in (self.dense, self.xception))
        return (
            self.expression(mood).flatten(1).softmax(1), self.age(years).flatten(1),
            self.gender(years).flatten(1).softmax(1),
        )
