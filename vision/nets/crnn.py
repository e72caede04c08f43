"""A convolutional recurrent network that reads a word (CRNN, Shi, Bai and Yao 2017): columns of a strip become
a sequence, two LSTMs look along it both ways, and each step has a probability for every character and for none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_PLAN = (                              # (share of the full width, pooled by (down, across), normalised)
    (1, (2, 2), False), (2, (2, 2), False), (4, None, True), (4, (2, 1), False), (8, None, True), (8, (2, 1), False),
)


class CRNN(nn.Module):
    """The network of the paper's table 1, but for two things, on strips 32 pixels high; one step for every 4 pixels of
    width.

    The last convolution is 2 high and 1 wide, where the paper's is 2x2 and loses a step; batch normalisation follows
    the third, the fifth and the last convolution, where the paper's follows the fifth and the sixth.

    classes: the characters; class 0 of the output is the blank, character i is class i + 1. channels: of the first
    layer, 64 in the paper; the others have up to eight times as many. hidden: of each LSTM in each direction.
    """

    def __init__(self, classes: int, channels: int = 64, hidden: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for factor, pool, normed in _PLAN:
            layers += [nn.Conv2d(before, channels * factor, 3, padding=1, bias=not normed)]
            layers += [nn.BatchNorm2d(channels * factor)] if normed else []
            layers += [nn.ReLU(inplace=True)]
            layers += [] if pool is None else [nn.MaxPool2d(pool)]
            before = channels * factor
        layers += [nn.Conv2d(before, before, (2, 1), bias=False), nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*layers)
        self.lstm = nn.LSTM(before, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * hidden, classes + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Strips (B,3,32,W) -> logits (B,W/4,classes + 1)."""
        columns = self.features(x.mean(1, keepdim=True)).squeeze(2).transpose(1, 2)      # (B,T,C)
        logits: Tensor = self.fc(self.lstm(columns)[0])
        return logits

    def decode(self, logits: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """The probabilities (B,T,classes + 1) of each step."""
        return torch.softmax(logits, dim=2)
