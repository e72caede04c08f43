"""Training of masks on a detector's maps: items, the objective, and the run.

The heads that learn are those of `vision.nets.nanodet_masks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.ops import box_iou

from vision.card import Boxes, Card
from vision.data.detection import DetectionData, Labelled
from vision.data.masks import reduced_mask
from vision.drawing import draw
from vision.engine import FakeEngine, Outputs
from vision.engine.program import state_dict
from vision.errors import WeightsError
from vision.metrics.detection import coco_rows, precision_table, summary
from vision.nets import build
from vision.nets.condinst import places
from vision.nets.deploy import Deploy
from vision.nets.nanodet_masks import NanoDetMasks
from vision.tasks.instances import InstanceSegmenter
from vision.train.boxed import REACH, affinity, alike, colours, inside, lab, projection
from vision.train.detection import of_all_processes
from vision.train.detection_set import DetectionSet, Pictures, rgb
from vision.train.detection_transforms import Sample, as_sample
from vision.train.fit import fit
from vision.train.instances import InstanceSettings
from vision.train.loading import Key
from vision.train.masks_taught import masks_taught
from vision.train.recipe import Objective, Parts, Told, Trained
from vision.train.start import freeze
from vision.types import Image
from vision.weights import resolve

if TYPE_CHECKING:
    from vision.train.training import Training

_MOST = 64                             # objects of a picture whose masks are made, drawn where there are more
_LEARNT = 48                           # cells of a picture that learn in a step
_CELLS = 4                             # cells that answer for an object, the best
_SMALLEST = 64                         # square pixels of a box in the network's input that has a mask to learn from
_GRID = 28                             # points a side of the grid over a box at which a mask is learnt
_JITTER = 0.03                         # how far a box is off where its mask is learnt, in its sides
_FINE = 2                              # samples a point and side of a grid
_MIN_SCORE, _FOUND = 0.01, 100         # of what average precision looks at, as `vision eval instances`
_BLANK = torch.zeros(1, 1, 3, dtype=torch.uint8)


def learnable(labelled: Labelled, boxes: bool = False) -> np.ndarray:
    """(N,) bool: the objects that have a mask, or with `boxes` none, and are no crowd."""
    return np.array([boxes or mask is not None for mask in labelled.masks], bool) & ~labelled.crowd


class InstanceSet(DetectionSet):
    """Items to learn from: as `DetectionSet`, of the objects that have masks, and these masks (N,H,W) uint8, 0 or 1.
    With the setting `box_loss` those without are among them, with an empty mask; masked (N,) bool tells."""

    columns: ClassVar[tuple[str, ...]] = ("picture", "boxes", "labels", "masks", "masked")

    def sample(self, image: Image, labelled: Labelled, reduced: int) -> Sample:
        """A picture (H,W,3) BGR, `reduced` times smaller than it is, with its objects."""
        assert isinstance(self.settings, InstanceSettings)
        rows = np.flatnonzero(learnable(labelled, self.settings.box_loss > 0))
        if len(rows) > _MOST:
            rows = rows[torch.randperm(len(rows))[:_MOST].numpy()]
        masks = np.zeros((len(rows), *image.shape[:2]), np.uint8)
        for mask, i in zip(masks, rows, strict=True):
            segmentation = labelled.masks[i]
            if segmentation is not None:
                mask[:] = reduced_mask(segmentation, labelled.size_wh, reduced)
        sample = as_sample(
            rgb(image), torch.from_numpy(labelled.boxes[rows] / np.float32(reduced)),
            torch.from_numpy(labelled.labels[rows]), torch.from_numpy(masks),
        )
        return {**sample, "masked": torch.tensor([labelled.masks[i] is not None for i in rows], dtype=torch.bool)}

    @staticmethod
    def collate(items: Sequence[tuple[Tensor, ...]]) -> tuple[Any, ...]:
        """A batch: pictures (B,3,H,W), and lists of the boxes, labels, masks and masked of each."""
        pictures, *rows = zip(*items, strict=True)
        return (torch.stack(pictures), *map(list, rows))


class Whole(Dataset[tuple[int, Tensor]]):
    """Pictures to be judged by, (H,W,3) uint8 BGR as they are, with their numbers; -1 where one cannot be read."""

    def __init__(self, data: DetectionData) -> None:
        self.pictures = Pictures(data)

    def __len__(self) -> int:
        return len(self.pictures.data)

    def __getitem__(self, key: Key) -> tuple[int, Tensor]:
        image = self.pictures.read(key[0])
        return (-1, _BLANK) if image is None else (key[0], torch.from_numpy(image))

    @staticmethod
    def collate(items: list[tuple[int, Tensor]]) -> list[tuple[int, Tensor]]:
        """A batch: its items, whose sizes differ."""
        return items


def responsible(boxes: Tensor, scores: Tensor, objects: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which cells learn the masks of which objects, (P,) each: of an object those with the highest IoU times the root
    of its class's score, as the detector stands, and an IoU of 0.5 at least.

    boxes (A,4), scores (A,C) in 0..1; objects (N,4), labels (N,).
    """
    overlap = box_iou(objects, boxes)                                                       # (N,A)
    good = overlap * scores[:, labels].T.clamp(min=1e-4).sqrt()
    sides = objects[:, 2:] - objects[:, :2]
    good = good * (overlap >= 0.5) * (sides.prod(1) > _SMALLEST)[:, None]
    best, cells = good.topk(min(_CELLS, good.shape[1]), 1)
    owners, which = (best > 0).nonzero(as_tuple=True)
    return cells[owners, which], owners


def mask_targets(masks: Tensor, owners: Tensor, boxes: Tensor, grid: int) -> Tensor:
    """(P,grid,grid) float32: the share of the masks around the points of a grid over each box; what lies outside of the
    picture is as its nearest pixel.

    masks (N,H,W), 0 or 1; owners (P,), the mask of each box; boxes (P,4) xyxy.
    """
    steps = (torch.arange(grid * _FINE, device=boxes.device) + 0.5) / (grid * _FINE)
    places = [
        (boxes[:, axis, None] + steps * (boxes[:, axis + 2] - boxes[:, axis])[:, None]).long().clamp(0, side - 1)
        for axis, side in enumerate((masks.shape[2], masks.shape[1]))
    ]
    seen = masks[owners[:, None, None], places[1][:, :, None], places[0][:, None, :]].float()
    return seen.view(-1, grid, _FINE, grid, _FINE).mean((2, 4))


def learning(
    boxes: Tensor, scores: Tensor, objects: Tensor, labels: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Some of the cells that learn the objects of `rows` (R,): the cells (P,), whose they are (P,), and where they look
    for it, (P,4): their boxes, off by a little. The others as in `responsible`."""
    cells, owners = responsible(boxes, scores, objects[rows], labels[rows])
    some = torch.randperm(len(cells))[:_LEARNT].to(cells)
    cells, owners = cells[some], rows[owners[some]]
    near = boxes[cells]
    sides = (near[:, 2:] - near[:, :2]).repeat(1, 2)
    return cells, owners, near + _JITTER * sides * torch.randn_like(near)


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Of masks (N,h,w), the mean: 1 less twice what both share over the sum of their squares (Milletari et al. 2016).
    truth: 0..1."""
    probs = logits.sigmoid()
    overlap, total = (probs * truth).sum((1, 2)), (probs**2).sum((1, 2)) + (truth**2).sum((1, 2))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "dice": dice, "cross_entropy": F.binary_cross_entropy_with_logits,
}


class Masks(Objective):
    """Dice and cross entropy over a grid on each box, or what of both the head learns by, and for boxes without masks
    `box_loss` times BoxInst's terms (`vision.train.boxed`); judged by COCO's average precision of masks."""

    words: ClassVar[Mapping[str, str]] = {"ap50": "mask AP50", "ap": "mask AP"}

    def __init__(self, card: Card, held_out: DetectionData, box_loss: float = 0.0) -> None:
        super().__init__(card)
        self.box_loss = box_loss
        self.truth = held_out.truth().with_masks()
        self.rows: dict[int, list[dict[str, Any]]] = {}      # of each picture that was looked at

    def loss(self, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Of `dice` and `cross_entropy` those by which the head learns, means over the cells that learn a mask;
        `projection`, the mean over those that learn a box, and `affinity`, that over their pairs of points, where there
        are some."""
        assert isinstance(net, NanoDetMasks)
        pictures, objects, labels, masks, masked = batch
        logits, distances, weights, features = (output.float() for output in net(self.inputs(pictures)))
        boxes, scores = net.boxes(distances, (pictures.shape[-1], pictures.shape[-2])), logits.sigmoid()
        learnt, wanted, boxed, within, pairs = [], [], [], [], []
        for i, seen in enumerate(masks):
            there = seen.flatten(1).any(1).nonzero()[:, 0]                   # a crop may have left none of a mask
            cells, owners, near = learning(boxes[i], scores[i], objects[i], labels[i], there)
            learnt.append(net.masks.logits(features[i], weights[i, cells], near, _GRID))
            wanted.append(mask_targets(seen, owners, near, _GRID))
            bare = (~masked[i]).nonzero()[:, 0]
            if len(bare):
                cells, owners, near = learning(boxes[i], scores[i], objects[i], labels[i], bare)
                at = places(near, _GRID, REACH)
                boxed.append(net.masks.logits(features[i], weights[i, cells], near, _GRID, REACH))
                within.append(inside(at, objects[i][owners]))
                pairs.append(alike(colours(lab(pictures[i]), at), within[-1]))
        said, truth = torch.cat(learnt), torch.cat(wanted)
        nothing = weights.sum() * 0 + features.sum() * 0
        terms = dict.fromkeys(net.masks.losses, nothing)
        if len(said):
            terms = {name: _LOSSES[name](said, truth) for name in terms}
        if boxed and len(bare_said := torch.cat(boxed)):
            terms["projection"] = self.box_loss * projection(bare_said.sigmoid(), torch.cat(within)).mean()
            terms["affinity"] = self.box_loss * affinity(bare_said, torch.cat(pairs, 1))
        return terms

    def update(self, net: nn.Module, batch: Any) -> None:
        """Keep what is found, as in use; pictures that could not be read are left out."""
        segmenter = self._segmenter(net)
        category_of = {label: label for label in range(len(self.card.classes))}
        for number, picture in batch:
            if number >= 0:
                found = segmenter(picture.cpu().numpy(), min_score=_MIN_SCORE, max_detections=_FOUND)
                self.rows[number] = coco_rows(number, found, category_of)

    def _segmenter(self, net: nn.Module) -> InstanceSegmenter:
        deployed = Deploy(net, self.card.input.mean, self.card.input.std).to(next(net.parameters()).device)

        def run(pictures: np.ndarray) -> Outputs:
            outputs = deployed(torch.from_numpy(pictures).to(deployed.normalise.scale.device))
            return tuple(output.float().cpu().numpy() for output in outputs)

        return InstanceSegmenter(FakeEngine(run), self.card)

    def pictures(self, net: nn.Module, batch: Any) -> Tensor:
        """Up to four pictures with the masks that are found in them at the card's threshold, stretched to one size."""
        segmenter, size_wh = self._segmenter(net), self.card.input.size_wh
        drawn = []
        for _, picture in batch[:4]:
            image = picture.cpu().numpy()
            drawn.append(cv2.resize(draw(segmenter(image), image, self.card.classes), size_wh)[..., ::-1])
        return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)

    def figures(self) -> dict[str, float]:
        """ap50, ap, ap75, and the ap of each class, of masks."""
        rows, self.rows = of_all_processes(self.rows), {}
        seen = replace(
            self.truth, images=[one for one in self.truth.images if one["id"] in rows],
            annotations=[one for one in self.truth.annotations if one["image_id"] in rows],
        )
        found = [row for of_picture in rows.values() for row in of_picture]
        now = summary(precision_table(seen, found, "segm"), seen.names)
        of_each = {f"ap_{name}": ap for name, (ap, _) in now.classes.items()}
        return {"ap50": now.ap50, "ap": now.ap, "ap75": now.ap75, **of_each}


Start = Callable[[InstanceSettings, tuple[str, ...]], tuple[nn.Module, Card]]


def start(settings: InstanceSettings, names: tuple[str, ...] = ()) -> tuple[nn.Module, Card]:
    """The network to train, its detector frozen, and the card of the result, whose classes are the detector's. Raises
    WeightsError for weights that do not fit."""
    base = settings.card
    assert base is not None
    head = base.config.get("mask", "condinst") if settings.mask_head == "auto" else settings.mask_head
    config = {**{key: value for key, value in base.config.items() if key != "mask"},
              **({} if head == "condinst" else {"mask": head})}
    goes_on = base.net == "nanodet-masks" and base.config == config
    net = build("nanodet-masks", **config)
    path = resolve(base)
    lacking, strange = net.load_state_dict(state_dict(path, base.without if goes_on else ("masks.",)), strict=False)
    if strange or any(goes_on or not name.startswith("masks.") for name in lacking):
        raise WeightsError(f"{str(path)!r} has the weights of another network (first {[*strange, *lacking][0]!r}).")
    freeze(net, tuple(f"{name}." for name, _ in net.named_children() if name != "masks"))
    return net, Card(
        name="", task="instances", net="nanodet-masks", config=config, file="best.safetensors",
        licence=f"as the training data's, and {base.licence}", source="", names=base.names, input=base.input,
        min_score=base.min_score, boxes=Boxes(head, base.boxes.max_iou),
    )


def train(training: Training, told: Told, begin: Start = start, objective: type[Masks] = Masks) -> Trained:
    """Train a head for masks, or another network, by `objective`, from what `begin` says."""
    net, card = begin(training.settings, training.names)
    card = replace(card, name=training.folder.name, source=f"trained on {training.source}")
    learned, held = training.data
    box_loss = training.settings.box_loss
    if training.settings.teacher_card is not None:
        learned = masks_taught(learned, training.settings.teacher_card, training.folder)
    some = tuple(one for one in learned.pictures if learnable(one, box_loss > 0).any())
    learned = replace(learned, pictures=some)
    items, judged = InstanceSet(learned, training.settings), objective(card, held, box_loss)
    return fit(Parts(net, judged, items, Whole(held)), training, told)
