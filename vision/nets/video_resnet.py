"""R3D-18, MC3-18 and R(2+1)D-18 (Tran et al. 2018), torchvision's, with their descriptor handed out."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.video import mc3_18, r2plus1d_18, r3d_18

_BUILDERS = {"r3d_18": r3d_18, "mc3_18": mc3_18, "r2plus1d_18": r2plus1d_18}


class VideoResNet(nn.Module):
    """torchvision's network `arch`; the keys of its state dict are the published ones."""

    def __init__(self, arch: str, classes: int = 400) -> None:
        super().__init__()
        published = _BUILDERS[arch](weights=None, num_classes=classes)
        for name, layer in published.named_children():
            self.add_module(name, layer)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """(B,3,T,H,W) -> logits (B,classes), and the descriptor `pool` (B,512): features averaged
        over the clip."""
        x = clips
        for name in ("stem", "layer1", "layer2", "layer3", "layer4", "avgpool"):
            x = self.get_submodule(name)(x)
        pool = x.flatten(1)
        logits: Tensor = self.get_submodule("fc")(pool)
        return logits, pool
