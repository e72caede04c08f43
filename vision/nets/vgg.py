"""VGG: "Very Deep Convolutional Networks for Large-Scale Image Recognition" (Simonyan and Zisserman 2015)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

# convolutions of 3x3 in each of the five blocks, every block followed by a pool: configurations A, B, D, E
_BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_CHANNELS = (64, 128, 256, 512, 512)


def _features(blocks: Sequence[int], channels: Sequence[int], norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    came = 3
    for count, units in zip(blocks, channels, strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(came, units, 3, padding=1), *([nn.BatchNorm2d(units)] if norm else []), nn.ReLU()]
            came = units
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """Eleven to nineteen layers that learn, all convolutions 3x3; torchvision's network, key by key.

    depth: 11, 13, 16 or 19. norm: batch normalisation after each convolution, which the paper had not yet.

    With 1000 classes: 132,863,336 parameters (11), 133,047,848 (13), 138,357,544 (16), 143,667,240 (19); 7.61, 11.31,
    15.47 and 19.63 G multiply-adds at 224x224.
    """

    def __init__(self, classes: int = 1000, depth: int = 16, norm: bool = False) -> None:
        super().__init__()
        self.features = _features(_BLOCKS[depth], _CHANNELS, norm)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, classes),
        )
        _begin(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,224,224), or another size that is averaged to 7x7 -> logits (B,classes)."""
        out: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return out


class DenseTest(nn.Module):
    """The paper's test (section 3.2): the dense layers as convolutions, over the whole picture, of any size from
    224x224 on. It shares the weights of `net`."""

    def __init__(self, net: VGG) -> None:
        super().__init__()
        self.features = net.features
        layers: list[nn.Module] = []
        side, channels = 7, 512
        for layer in net.classifier:
            if isinstance(layer, nn.Linear):
                units = int(layer.out_features)
                made = nn.Conv2d(channels, units, side)
                made.weight = nn.Parameter(layer.weight.view(units, channels, side, side))
                made.bias = layer.bias
                side, channels = 1, units
                layers.append(made)
            else:
                layers.append(layer)
        self.classifier = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,H,W) -> the map of class scores (B,classes,h,w), a place every 32 pixels."""
        out: Tensor = self.classifier(self.features(x))
        return out

    def scores(self, x: Tensor) -> Tensor:
        """(B,3,H,W) -> logits (B,classes), averaged over the places."""
        out: Tensor = self(x).mean((2, 3))
        return out


class _VGG32(nn.Module):
    """Configuration A at half its width for 32x32 pictures; one dense layer, as there is one place left."""

    def __init__(self, classes: int, norm: bool) -> None:
        super().__init__()
        channels = [units // 2 for units in _CHANNELS]
        self.features = _features(_BLOCKS[11], channels, norm)
        self.classifier = nn.Sequential(
            nn.Linear(channels[-1], channels[-1]), nn.ReLU(), nn.Dropout(0.5), nn.Linear(channels[-1], classes))
        _begin(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,32,32) -> logits (B,classes)."""
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


def vgg_32(classes: int = 10, norm: bool = False) -> nn.Module:
    """VGG-11 for 32x32 pictures."""
    return _VGG32(classes, norm)


def _begin(net: nn.Module) -> None:
    """Convolutions after He et al., which spares the paper's training in stages."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01 if layer.in_features > 1000 else layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
