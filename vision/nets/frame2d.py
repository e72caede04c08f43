"""A 2D network on video: MobileNetV2 a frame, its logits averaged over the clip (the consensus of
TSN, Wang et al. 2016), with or without temporal shift inside (TSM, Lin et al. 2019)."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F


class FrameNet(nn.Module):
    """MobileNetV2's features, averaged over the picture, and one linear layer.

    shift: in each residual block an eighth of the channels looks one frame back and an eighth one
    frame ahead; frames then depend on each other, and the network takes whole clips only. two_stream:
    it looks at pairs, a picture and what moves in it; their descriptors, each brought to one length, are
    put beside each other (after Simonyan & Zisserman 2014, with grey frames in place of optical flow).
    """

    def __init__(self, classes: int, shift: bool = False, two_stream: bool = False) -> None:
        super().__init__()
        self.encoder: nn.Sequential = torchvision.models.mobilenet_v2(weights=None).features
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(self.encoder[-1].out_channels * (2 if two_stream else 1), classes)
        self.shift, self.two_stream = shift, two_stream

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B,3,H,W), clips (B,3,T,H,W) or pairs (B,3,2,H,W) -> logits (B,classes) and the
        descriptor `pool` (B,1280), of pairs (B,2560) of length 1; those of a clip are the means of its
        frames', the last layer being linear."""
        if x.ndim == 4:
            pool = self._pooled(x, 1)
        else:
            frames = x.shape[2]
            each = self._pooled(x.transpose(1, 2).flatten(0, 1), frames)
            each = each.view(-1, frames, each.shape[1])
            pool = F.normalize(each, dim=2).flatten(1) / 2**0.5 if self.two_stream else each.mean(1)
        return self.fc(self.dropout(pool)), pool

    def train(self, mode: bool = True) -> FrameNet:
        """Batch normalisation keeps its ImageNet statistics: the frames of a batch are too much alike to
        make new ones (TSN's partial BN)."""
        super().train(mode)
        for layer in self.encoder.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self

    def _pooled(self, x: Tensor, frames: int) -> Tensor:
        for block in self.encoder:
            if self.shift and getattr(block, "use_res_connect", False):
                x = x + block.get_submodule("conv")(shifted(x, frames))
            else:
                x = block(x)
        return x.mean((2, 3))


def shifted(x: Tensor, frames: int, share: int = 8) -> Tensor:
    """(B*T,C,H,W) -> the same: the first C/share channels come from the frame before, the next C/share
    from the frame after; zeros come in at the ends of each clip of `frames`."""
    clips = x.view(-1, frames, *x.shape[1:])              # (B,T,C,H,W)
    fold = x.shape[1] // share
    edge = torch.zeros_like(clips[:, :1, :fold])
    before = torch.cat([edge, clips[:, :-1, :fold]], dim=1)
    after = torch.cat([clips[:, 1:, fold : 2 * fold], edge], dim=1)
    return torch.cat([before, after, clips[:, :, 2 * fold :]], dim=2).flatten(0, 1)
