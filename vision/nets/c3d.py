"""C3D: "Learning Spatiotemporal Features with 3D Convolutional Networks" (Tran et al. 2015)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# the five blocks: (convolution, output channels), each block followed by a pool
_BLOCKS = (
    (("conv1a", 64),),
    (("conv2a", 128),),
    (("conv3a", 256), ("conv3b", 256)),
    (("conv4a", 512), ("conv4b", 512)),
    (("conv5a", 512), ("conv5b", 512)),
)
_PUBLISHED = (("backbone.", ""), (".conv.", "."), ("cls_head.fc_cls", "fc8"))         # MMAction2's -> ours


class C3D(nn.Module):
    """Eight 3x3x3 convolutions, five pools of which the first leaves time alone, three linear layers.

    classes: of the last layer. width: factor on every layer's channels and units; 1 is the paper.
    norm: batch normalisation after each convolution, which training from scratch needs. side:
    pixels of the square input; 112 is the paper. difference: the first layer sees what changes from
    each frame to the next, and nothing that stands still. Clips have 16 frames.

    With 101 classes, width 1 and no norm: 78,409,573 parameters, 38.6 G multiply-adds a clip.
    """

    def __init__(
        self, classes: int, width: float = 1.0, norm: bool = False, side: int = 112, difference: bool = False
    ) -> None:
        super().__init__()
        self.difference = difference
        channels = 3
        for block in _BLOCKS:
            for name, units in block:
                out = round(units * width)
                layers: list[nn.Module] = [nn.Conv3d(channels, out, 3, padding=1, bias=not norm)]
                self.add_module(name, nn.Sequential(*layers, nn.BatchNorm3d(out)) if norm else layers[0])
                channels = out
        for _ in range(4):
            side //= 2
        side = side // 2 + 1                              # the last pool pads: 7 -> 4
        units = round(4096 * width)
        self.fc6 = nn.Linear(channels * side * side, units)
        self.fc7 = nn.Linear(units, units)
        self.fc8 = nn.Linear(units, classes)
        self.dropout = nn.Dropout(0.5)
        self.register_load_state_dict_pre_hook(_from_published)  # type: ignore[no-untyped-call]

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B,3,16,S,S) -> logits (B,classes), and the descriptors fc6 (B,4096 width), after its ReLU,
        and pool5 (B,8192 width)."""
        x = clips
        if self.difference:                               # torch.diff is not exported to ONNX
            x = clips - torch.cat([clips[:, :, :1], clips[:, :, :-1]], 2)
        for index, block in enumerate(_BLOCKS):
            for name, _ in block:
                x = F.relu(self.get_submodule(name)(x))
            first, last = index == 0, index == len(_BLOCKS) - 1
            x = F.max_pool3d(
                x, (1, 2, 2) if first else 2, (1, 2, 2) if first else 2, (0, 1, 1) if last else 0
            )
        pool5 = x.flatten(1)
        fc6 = F.relu(self.fc6(pool5))
        fc7 = F.relu(self.fc7(self.dropout(fc6)))
        return self.fc8(self.dropout(fc7)), fc6, pool5


def _from_published(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """MMAction2's names (`backbone.conv1a.conv.weight`, `cls_head.fc_cls.weight`) become ours."""
    for key in [k for k in state if k.startswith((f"{prefix}backbone.", f"{prefix}cls_head."))]:
        name = key.removeprefix(prefix)
        for theirs, ours in _PUBLISHED:
            name = name.replace(theirs, ours)
        state[prefix + name] = state.pop(key)


def c3d_lite(classes: int, side: int = 112, difference: bool = False) -> C3D:
    """The same shape at a quarter of the width, with batch normalisation: a CPU can train it."""
    return C3D(classes, width=0.25, norm=True, side=side, difference=difference)
