"""AlexNet: "ImageNet Classification with Deep Convolutional Neural Networks" (Krizhevsky et al. 2012).

torchvision's `alexnet` is another network, of "One weird trick" (Krizhevsky 2014): one tower of fewer channels,
without response normalisation.
"""

from __future__ import annotations

from torch import Tensor, nn


def response_norm() -> nn.LocalResponseNorm:
    """Over five neighbouring channels, with the paper's constants; torch divides alpha by their number."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


class AlexNet(nn.Module):
    """Five convolutions, of which the second, fourth and fifth see half of the channels each (the paper's two
    GPUs), response normalisation after the first two, overlapping pools, three dense layers.

    With 1000 classes: 60,965,224 parameters, 724 M multiply-adds at 224x224 (two rows and columns of padding make
    the 55x55 maps that the paper states).
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4, padding=2), nn.ReLU(), response_norm(), nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), response_norm(), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        )
        self.classifier = _dense(256 * 6 * 6, 4096, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):                 # as the paper begins
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        for place in (self.features[4], self.features[10], self.features[12], self.classifier[1], self.classifier[4]):
            nn.init.ones_(place.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,224,224) -> logits (B,classes)."""
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


class _AlexNet32(nn.Module):
    """The same shape for 32x32 pictures: 5x5 and 3x3 filters, the strides of the pools alone, 512 dense units."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), response_norm(),
            nn.Conv2d(64, 128, 5, padding=2, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), response_norm(),
            nn.Conv2d(128, 192, 3, padding=1), nn.ReLU(),
            nn.Conv2d(192, 192, 3, padding=1, groups=2), nn.ReLU(),
            nn.Conv2d(192, 128, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1),
        )
        self.classifier = _dense(128 * 4 * 4, 512, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,32,32) -> logits (B,classes)."""
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


def alexnet_32(classes: int = 10) -> nn.Module:
    """AlexNet's shape for 32x32 pictures."""
    return _AlexNet32(classes)


def _dense(channels: int, units: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(0.5), nn.Linear(channels, units), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(units, units), nn.ReLU(), nn.Linear(units, classes),
    )
