"""Training of Fast R-CNN: pictures with their proposals, and the objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms import v2

from vision.card import Card
from vision.data.detection import DetectionData
from vision.nets.deploy import Deploy
from vision.nets.fast_rcnn import FastRCNN
from vision.proposals.kept import kept_proposals
from vision.tasks.detect import input_view, suppressed
from vision.tasks.proposed import judged
from vision.train.detection import Detection
from vision.train.detection_set import HeldOut, HeldOutPictures, Pictures, rgb
from vision.train.loading import Key, drawn, one_thread
from vision.types import Detections

if TYPE_CHECKING:
    from vision.train.detect import DetectSettings

Item = tuple[Tensor, Tensor, Tensor, Tensor]
Batch = tuple[Tensor, list[Tensor], list[Tensor], list[Tensor], list[tuple[int, int]]]
_MIN_SCORE, _MOST = 0.01, 100


class ProposalSet(Dataset[Item]):
    """Items to learn from: picture (3,H,W) uint8 RGB, boxes (N,4) float32 xyxy and labels (N,) int64 of its objects,
    and proposals (R,4). Pictures are mirrored half of the time, as in the paper, and vary in colour.

    An item is a function of its key alone. In place of a picture that cannot be read the next one is taken.
    """

    def __init__(self, data: DetectionData, card: Card, settings: DetectSettings) -> None:
        self.data, self.card, self.colour = data, card, settings.colour
        self.pictures = Pictures(data)

    def __len__(self) -> int:
        return len(self.data.pictures)

    def __getitem__(self, key: Key) -> Item:
        index, seed = key
        image = self.pictures.read(index)
        while image is None:
            index = (index + 1) % len(self)
            if index == key[0]:
                return self._blank()
            image = self.pictures.read(index)
        view, labelled = input_view(image, self.card.input), self.data.pictures[index]
        scale = torch.tensor(view.scale * 2, dtype=torch.float32)
        proposals = torch.from_numpy(kept_proposals(view.pixels, most=self.card.boxes.proposals))
        boxes = torch.from_numpy(labelled.boxes[~labelled.crowd]) * scale
        picture = rgb(view.pixels)
        with drawn(seed), one_thread():
            picture = v2.ColorJitter(self.colour, self.colour, self.colour)(picture)
            if torch.rand(()) < 0.5:
                picture = picture.flip(2)
                boxes, proposals = (mirrored(rows, picture.shape[2]) for rows in (boxes, proposals))
        return picture, boxes, torch.from_numpy(labelled.labels[~labelled.crowd]), proposals

    def _blank(self) -> Item:
        return (torch.zeros((3, 32, 32), dtype=torch.uint8), torch.zeros((0, 4)), torch.zeros(0, dtype=torch.int64),
                torch.tensor([[0.0, 0.0, 32.0, 32.0]]))

    @staticmethod
    def collate(items: Sequence[Item]) -> Batch:
        """A batch: pictures (B,3,H,W) uint8, filled up with 0 on the right and below; of each one its boxes, labels,
        proposals, and its own height and width."""
        pictures, boxes, labels, proposals = zip(*items, strict=True)
        sizes = [(int(picture.shape[1]), int(picture.shape[2])) for picture in pictures]
        whole = torch.zeros((len(items), 3, max(h for h, _ in sizes), max(w for _, w in sizes)), dtype=torch.uint8)
        for place, picture, (h, w) in zip(whole, pictures, sizes, strict=True):
            place[:, :h, :w] = picture
        return whole, list(boxes), list(labels), list(proposals), sizes


def mirrored(boxes: Tensor, width: int) -> Tensor:
    """(N,4) xyxy of a picture whose left and right are swapped."""
    return torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)


class ProposedDetection(Detection):
    """Fast R-CNN's multi-task loss; judged as every detector, on the same proposals as in use."""

    def __init__(self, card: Card, held_out: HeldOutPictures) -> None:
        super().__init__(_fast_rcnn, card, held_out)

    def loss(self, net: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Cross entropy of the classes and smooth L1 of the boxes."""
        pictures, boxes, labels, proposals, sizes = batch
        assert isinstance(net, FastRCNN)
        targets = [{"boxes": b, "labels": k + 1} for b, k in zip(boxes, labels, strict=True)]
        return net.losses(self.inputs(pictures), proposals, targets, sizes)

    def found(self, net: nn.Module, items: Sequence[HeldOut]) -> list[Detections]:
        """The best objects of each item, in the network's pixels."""
        deployed = Deploy(net, self.card.input.mean, self.card.input.std).to(items[0].pixels.device)
        return [self._of(deployed, item.pixels.cpu().numpy()) for item in items]

    def _of(self, deployed: Any, image: Any) -> Detections:
        most = self.card.boxes.proposals
        boxes, scores, labels = (out[0] for out in judged(deployed, image, kept_proposals(image, most=most),
                                                           torch.float32))
        rows = Detections(boxes, scores, labels)
        return suppressed(rows[rows.scores >= _MIN_SCORE], self.card.boxes.max_iou, False)[:_MOST]


def with_proposals(
    learnt: DetectionData, held_out: HeldOutPictures, card: Card, settings: DetectSettings
) -> tuple[ProposalSet, ProposedDetection]:
    """What Fast R-CNN learns from, and by."""
    return ProposalSet(learnt, card, settings), ProposedDetection(card, held_out)


def _fast_rcnn(net: nn.Module, x: Tensor, objects: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """`ProposedDetection.loss` is handed proposals, which a criterion is not."""
    raise TypeError("Fast R-CNN learns from proposals")
