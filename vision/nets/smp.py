"""Any architecture and encoder of segmentation-models-pytorch, with the project's contract."""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
from torch import Tensor, nn
from torch.nn import functional as F

from vision.errors import ModelError


def class_map(logits: Tensor) -> Tensor:
    """(B,C,H,W) logits -> (B,H,W) uint8, the most likely class of each pixel (C up to 255)."""
    return logits.argmax(1).byte()


class Smp(nn.Module):
    """An encoder, a decoder and a head of segmentation-models-pytorch; any picture size.

    arch: `unet`, `fpn`, `deeplabv3plus` ..., as `smp.create_model` names them. encoder: any of its
    encoders (`mobilenet_v2`, `tu-tf_efficientnet_lite0`). options: the architecture's arguments.
    Raises ModelError for an unknown name.
    """

    def __init__(
        self, arch: str, encoder: str, classes: int, options: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        try:
            model = smp.create_model(
                arch, encoder_name=encoder, encoder_weights=None, classes=classes, **(options or {})
            )
        except (KeyError, RuntimeError, TypeError) as error:
            raise ModelError(
                f"segmentation-models-pytorch has no {arch}:{encoder} of these options ({error})."
            ) from error
        self.encoder, self.decoder, self.head = model.encoder, model.decoder, model.segmentation_head
        for i, layer in enumerate(self.head):
            if isinstance(layer, nn.UpsamplingBilinear2d):     # it aligns corners: a shift towards the edges
                self.head[i] = nn.Upsample(scale_factor=layer.scale_factor, mode="bilinear")
        self.multiple = int(model.encoder.output_stride) if model.requires_divisible_input_shape else 1

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,H,W) normalised RGB -> (B,C,H,W) logits."""
        height, width = x.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        if down or right:
            x = F.pad(x, (0, right, 0, down), mode="replicate")
        logits: Tensor = self.head(self.decoder(self.encoder(x)))
        return logits[..., :height, :width]

    def decode(self, logits: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """The class map that leaves the engine."""
        return class_map(logits)
