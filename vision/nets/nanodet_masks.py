"""NanoDet with a head for masks: a detector and its masks in one network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vision.errors import ModelError
from vision.nets.condinst import MaskHead
from vision.nets.nanodet import NanoDet
from vision.nets.rtmdet_ins import FusedKernels
from vision.nets.yolact import Prototypes

HEADS: dict[str, type[MaskHead]] = {"condinst": MaskHead, "yolact": Prototypes, "rtmdet-ins": FusedKernels}


class NanoDetMasks(NanoDet):
    """The arguments are those of `NanoDet`, and mask: the head, a key of `HEADS`. Raises ModelError for another."""

    def __init__(self, classes: int, levels: int = 4, bins: int = 11, mask: str = "condinst") -> None:
        super().__init__(classes, levels, bins)
        if mask not in HEADS:
            raise ModelError(f"no head {mask!r} for masks. There are: {', '.join(HEADS)}")
        self.masks = HEADS[mask]((64, *[128] * levels))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B,3,H,W) normalised RGB, sides multiples of 32 -> what `NanoDet` and its head give."""
        maps = self.encoder(x)
        levels = self.levels(maps)
        features, own = self.masks([maps[0], *levels])
        return *self.predicted(levels), own, features

    def decode(self, outputs: Sequence[Tensor], size_wh: tuple[int, int]) -> tuple[Tensor, ...]:
        """Boxes (B,A,4) xyxy in input pixels, scores (B,A,classes) in 0..1, what each cell has of its own (B,A,·), and
        the features (B,K,h,w) that all of them read, as the head gives both."""
        logits, distances, own, features = outputs
        return *super().decode((logits, distances), size_wh), own, features
