"""torchvision's segmentation networks, so that their published weights load under their own names."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import segmentation

from vision.errors import ModelError
from vision.nets.smp import class_map


class TorchvisionSegmenter(nn.Module):
    """`fcn_resnet50`, `fcn_resnet101`, `deeplabv3_resnet50`, `deeplabv3_resnet101` or
    `deeplabv3_mobilenet_v3_large`; the auxiliary classifier is there for its weights' names alone."""

    def __init__(self, arch: str, classes: int = 21) -> None:
        super().__init__()
        maker = getattr(segmentation, arch, None)
        if maker is None or not arch.startswith(("fcn_", "deeplabv3_")):
            raise ModelError(f"torchvision has no FCN or DeepLabV3 named {arch!r}.")
        model = maker(weights=None, weights_backbone=None, num_classes=classes, aux_loss=True)
        self.backbone, self.classifier = model.backbone, model.classifier
        self.aux_classifier = model.aux_classifier

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,H,W) normalised RGB -> (B,C,H,W) logits."""
        logits = self.classifier(self.backbone(x)["out"])
        return F.interpolate(logits, x.shape[-2:], mode="bilinear", align_corners=False)

    def decode(self, logits: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """The class map that leaves the engine."""
        return class_map(logits)
