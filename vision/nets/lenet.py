"""LeNet-5: "Gradient-Based Learning Applied to Document Recognition" (LeCun et al. 1998)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# table I: the maps of S2 that each map of C3 sees
_SEEN = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)
_NEAR = 1.0                              # the constant j of equation 9
_GREY = (0.299, 0.587, 0.114)            # the paper's pictures have one channel


class LeNet5Published(nn.Module):
    """LeNet-5 as published: subsampling layers that learn, a partial table of connections, a scaled tanh, and an
    output of distances to codes of +1 and -1, one a class.

    classes: of the output. The codes are drawn at random once, as the paper allows, and do not learn: its own are
    drawings of ASCII characters. Pictures are 32x32; colours are weighed to grey first.

    With 10 classes: 60,000 parameters that learn, 340,908 connections, as the paper counts them (a subsampling
    unit's four inputs and its bias are five).
    """

    codes: Tensor
    seen: Tensor
    grey: Tensor

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.c1, self.s2 = nn.Conv2d(1, 6, 5), _Subsampling(6)
        self.c3, self.s4 = nn.Conv2d(6, 16, 5), _Subsampling(16)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        seen = torch.zeros(16, 6, 1, 1)
        for row, maps in enumerate(_SEEN):
            seen[row, list(maps)] = 1
        codes = torch.randint(0, 2, (classes, 84), generator=torch.Generator().manual_seed(1998)) * 2.0 - 1
        self.register_buffer("seen", seen, persistent=False)
        self.register_buffer("grey", torch.tensor(_GREY).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("codes", codes)
        for layer in (self.c1, self.c3, self.c5, self.f6):              # between -2.4 and 2.4 over the fan-in
            fan = layer.weight[0].numel()
            nn.init.uniform_(layer.weight, -2.4 / fan, 2.4 / fan)
        with torch.no_grad():
            self.c3.weight.mul_(6 / seen.sum(1, keepdim=True))          # whose maps see 3, 4 or all 6

    @property
    def learning(self) -> int:
        """How many parameters learn: those of the table's absent connections do not exist in the paper."""
        return sum(p.numel() for p in self.parameters()) - int((self.seen == 0).sum()) * 25

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,32,32) -> (B,classes): minus the squared distance to each class's code."""
        x = (x * self.grey).sum(1, keepdim=True)
        x = self.s2(_squashed(self.c1(x)))
        x = F.conv2d(x, self.c3.weight * self.seen, self.c3.bias)
        x = self.s4(_squashed(x))
        x = _squashed(self.c5(x)).flatten(1)
        x = _squashed(self.f6(x))
        return -(x[:, None] - self.codes).square().sum(2)

    @staticmethod
    def criterion(outputs: Tensor, labels: Tensor) -> Tensor:
        """The paper's loss (equation 9): the distance to the right code, and a push away from others that are nearer
        than a constant. outputs: of `forward`, (B,C). labels: (B,)."""
        near = torch.cat([outputs, outputs.new_full((len(outputs), 1), -_NEAR)], 1)
        return (near.logsumexp(1) - outputs.gather(1, labels[:, None])[:, 0]).mean()


class _Subsampling(nn.Module):
    """Each 2x2 square's sum, times a coefficient and plus a bias a map, through a sigmoid's cousin."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((maps, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return _squashed(4 * F.avg_pool2d(x, 2) * self.coefficient + self.bias)


def _squashed(x: Tensor) -> Tensor:
    return 1.7159 * torch.tanh(2 / 3 * x)


class LeNet5(nn.Module):
    """LeNet-5 as it is usually built today: ReLU, max pooling, every map seen, a linear output, colours.

    With 10 classes: 62,006 parameters, 651,720 multiply-adds.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.c1, self.c3 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.c5, self.f6, self.out = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,32,32) -> logits (B,classes)."""
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c3(x)), 2)
        x = F.relu(self.c5(x.flatten(1)))
        out: Tensor = self.out(F.relu(self.f6(x)))
        return out
