"""Detectors as torchvision publishes them, with outputs that a batch can hold.

SSD (Liu et al. 2016), SSDLite (Sandler et al. 2018), RetinaNet (Lin et al. 2017), FCOS (Tian et al.
2019), Faster R-CNN (Ren et al. 2015), Mask R-CNN (He et al. 2017). torchvision's own modules do the work under
their own names, so that the published weights load strictly; resizing, normalisation and suppression are ours.
Boxes are float32 whatever the precision of the layers: float16 has whole pixels alone from 1024 on, and infinity where
suppression moves the classes apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from vision.nets.mobile import BOTTLENECK, EXPANDED, MobileStages

_PER_LEVEL = 1000                    # candidates of a pyramid level, as published


def _pictures(x: Tensor) -> ImageList:
    return ImageList(x, [(int(x.shape[-2]), int(x.shape[-1]))] * len(x))


def _float32(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """The maps in float32: anchors are of their type."""
    return {name: one.float() for name, one in features.items()}


class _Float32Coder(BoxCoder):  # type: ignore[misc]
    """torchvision's, whose boxes are otherwise of the offsets' type."""

    def decode_single(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        boxes = super().decode_single(rel_codes.float(), boxes)
        return boxes


def _published(arch: str, classes: int) -> Any:
    return get_model(arch, weights=None, weights_backbone=None, num_classes=classes + 1)


class SingleShot(nn.Module):
    """SSD: (B,3,H,W) to offsets (B,A,4), logits (B,A,1+classes), 0 background, and the anchors (A,4)
    xyxy in input pixels, which are the same for all pictures."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.backbone, self.head = net.backbone, net.head
        self.anchor_generator, self.box_coder = net.anchor_generator, net.box_coder

    @property
    def encoder(self) -> nn.Module:
        """What ImageNet's weights are for: MobileNet's features, or VGG's and conv5 behind them."""
        behind = self.backbone.extra[0]
        conv5 = {"conv5": behind[:-1]} if isinstance(behind[0], nn.MaxPool2d) else {}
        return nn.ModuleDict({"features": self.backbone.features, **conv5})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.backbone(x)
        out = self.head(list(maps.values()))
        anchors = self.anchor_generator(_pictures(x[:1]), list(_float32(maps).values()))[0]
        return out["bbox_regression"], out["cls_logits"], anchors

    def decode(self, outputs: Sequence[Tensor], size_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (B,A,4) xyxy in input pixels, and scores (B,A,classes) in 0..1 without background."""
        offsets, logits, anchors = outputs
        each = anchors.expand(offsets.shape)
        boxes = self.box_coder.decode_single(offsets.flatten(0, 1), each.flatten(0, 1))
        return boxes.view_as(offsets), logits.softmax(dim=-1)[..., 1:]


class Pyramidal(nn.Module):
    """RetinaNet and FCOS: (B,3,H,W) to the best candidates of each level, boxes (B,R,4) xyxy in
    input pixels, scores (B,R) and labels (B,R), 0 the first class."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.backbone, self.head = net.backbone, net.head
        self.anchor_generator = net.anchor_generator
        self.decode_boxes = getattr(net.box_coder, "decode_single", net.box_coder.decode)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.backbone(x)
        out, features = self.head(list(maps.values())), list(_float32(maps).values())
        scores = out["cls_logits"].sigmoid()[..., 1:]                                   # (B,A,C)
        if "bbox_ctrness" in out:                                                       # FCOS
            scores = (scores * out["bbox_ctrness"].sigmoid()).sqrt()
        anchors = torch.stack(self.anchor_generator(_pictures(x), features))            # (B,A,4)
        per_cell = self.anchor_generator.num_anchors_per_location()
        sizes = [int(f.shape[-2] * f.shape[-1]) * n for f, n in zip(features, per_cell, strict=True)]
        parts = (torch.split(whole, sizes, dim=1) for whole in (scores, out["bbox_regression"], anchors))
        levels = [self._best(*level) for level in zip(*parts, strict=True)]
        boxes, best, labels = (torch.cat(column, dim=1) for column in zip(*levels, strict=True))
        return boxes, best, labels

    def _best(self, scores: Tensor, offsets: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flat = scores.flatten(1)                                                        # (B, n * C)
        best, index = flat.topk(min(_PER_LEVEL, flat.shape[1]), dim=1)
        where = (index // scores.shape[2])[..., None].expand(-1, -1, 4)                 # (B,R,4)
        offsets, anchors = offsets.gather(1, where).float(), anchors.gather(1, where)
        boxes = self.decode_boxes(offsets.flatten(0, 1), anchors.flatten(0, 1)).view_as(anchors)
        return boxes, best, index % scores.shape[2]


class TwoStage(nn.Module):
    """Faster R-CNN: (B,3,H,W) to boxes (B,R,4) xyxy in input pixels, scores (B,R) and labels (B,R),
    suppressed already; R is the limit of boxes a picture, and rows to spare have the score 0. Mask R-CNN: masks
    (B,R,28,28) in 0..1 too, each over its box."""

    traceable = False                # the number of proposals depends on the picture

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.backbone, self.rpn, self.roi_heads = net.backbone, net.rpn, net.roi_heads
        for stage in (self.rpn, self.roi_heads):
            stage.box_coder = _Float32Coder(stage.box_coder.weights, stage.box_coder.bbox_xform_clip)

    @property
    def encoder(self) -> nn.Module:
        """What ImageNet's weights are for."""
        inner: nn.Module = self.backbone.body
        return inner

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        pictures, features = _pictures(x), _float32(self.backbone(x))
        proposals, _ = self.rpn(pictures, features)
        found, _ = self.roi_heads(features, proposals, pictures.image_sizes)
        rows = self.roi_heads.detections_per_img

        def padded(name: str) -> Tensor:
            return torch.stack([
                F.pad(d[name], [0] * (2 * d[name].dim() - 1) + [rows - d[name].shape[0]]) for d in found
            ])

        masks = (padded("masks")[:, :, 0],) if self.roi_heads.has_mask() else ()
        return padded("boxes"), padded("scores"), padded("labels") - 1, *masks

    def losses(self, x: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The losses of both stages, in training mode. targets: for each picture `boxes` (N,4) xyxy in
        input pixels and `labels` (N,), 1 the first class; of Mask R-CNN `masks` (N,H,W) uint8, 0 or 1, too."""
        pictures, features = _pictures(x), _float32(self.backbone(x))
        proposals, of_proposals = self.rpn(pictures, features, targets)
        _, of_boxes = self.roi_heads(features, proposals, pictures.image_sizes, targets)
        return {**of_proposals, **of_boxes}


class SixMaps(nn.Module):
    """SSD300's six maps, of 38, 19, 10, 5, 3 and 1 cells a side at 300x300, by MobileNetV2 in the place of VGG-16."""

    channels = (*EXPANDED[2:], BOTTLENECK, 512, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        self.features = MobileStages(last=False)
        self.extra = nn.ModuleList()
        for came, out, stride in zip(self.channels[2:], self.channels[3:], (2, 1, 1), strict=False):
            narrow = Conv2dNormActivation(came, out // 2, 1, activation_layer=nn.ReLU6)
            wide = Conv2dNormActivation(out // 2, out, 3, stride, padding=int(stride > 1), activation_layer=nn.ReLU6)
            self.extra.append(nn.Sequential(narrow, wide))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        expansions, x = self.features(x)
        maps = [*expansions[2:], x]
        for block in self.extra:
            maps.append(block(maps[-1]))
        return {str(place): one for place, one in enumerate(maps)}


def single_shot(arch: str = "ssd300_vgg16", classes: int = 90) -> nn.Module:
    """`ssd300_vgg16`, `ssdlite320_mobilenet_v3_large`, or `ssd300_mobilenet_v2`: SSD300's boxes on `SixMaps`."""
    if arch != "ssd300_mobilenet_v2":
        return SingleShot(_published(arch, classes))
    boxes = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]], scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    head = SSDHead(list(SixMaps.channels), boxes.num_anchors_per_location(), classes + 1)
    return SingleShot(SSD(SixMaps(), boxes, (300, 300), classes + 1, head=head))


def pyramidal(arch: str, classes: int = 90, eps: float = 1e-5) -> nn.Module:
    """`retinanet_resnet50_fpn`, its `_v2`, or `fcos_resnet50_fpn`; eps: of the batch norms."""
    return Pyramidal(_with_eps(_published(arch, classes), eps))


def two_stage(arch: str, classes: int = 90, eps: float = 1e-5) -> nn.Module:
    """`fasterrcnn_resnet50_fpn`, its `_v2`, `fasterrcnn_mobilenet_v3_large_fpn`, or `maskrcnn_resnet50_fpn` and its
    `_v2`; eps: as above."""
    return TwoStage(_with_eps(_published(arch, classes), eps))


class EncoderPyramid(nn.Module):
    """An encoder of segmentation-models-pytorch (`tu-NAME`: any of timm's) with a feature pyramid (Lin et
    al. 2017) on its maps of strides 4 to 32: maps `0` to `3` and `pool`, each of so many channels."""

    def __init__(self, name: str, channels: int = 256) -> None:
        super().__init__()
        self.out_channels = channels
        self.body = get_encoder(name, weights=None)
        self.fpn = FeaturePyramidNetwork(
            self.body.out_channels[-4:], self.out_channels, extra_blocks=LastLevelMaxPool()
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = self.body(x)[-4:]
        out: dict[str, Tensor] = self.fpn({str(k): one for k, one in enumerate(maps)})
        return out


def faster_rcnn(
    classes: int, encoder: str = "mobilenet_v2", channels: int = 256, sampled: int = 512
) -> nn.Module:
    """Faster R-CNN with a feature pyramid on any encoder that `EncoderPyramid` names.

    channels: of the pyramid. sampled: proposals of a picture that the second stage learns from. A training with 128
    channels and 128 proposals takes 0.4 of the time.
    """
    return TwoStage(FasterRCNN(EncoderPyramid(encoder, channels), classes + 1, box_batch_size_per_image=sampled))


def mask_rcnn(classes: int, encoder: str = "mobilenet_v2", channels: int = 256, sampled: int = 512) -> nn.Module:
    """Mask R-CNN, likewise."""
    return TwoStage(MaskRCNN(EncoderPyramid(encoder, channels), classes + 1, box_batch_size_per_image=sampled))


def _with_eps(net: Any, eps: float) -> Any:
    """Set the batch norms' eps: the oldest published weights were trained with 0."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps
    return net
