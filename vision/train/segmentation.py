"""Training of semantic segmentation: items, the objective, and the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from vision.card import IMAGENET_MEAN, IMAGENET_STD, Card, Input
from vision.data.segmentation import IGNORE, Pairs, read_pair
from vision.drawing import class_colour
from vision.errors import DataError
from vision.metrics.segmentation import Confusion
from vision.nets import build
from vision.train import losses
from vision.train.fit import fit
from vision.train.loading import Key, drawn, one_thread
from vision.train.recipe import Objective, Parts, Told, Trained
from vision.train.start import freeze_as_asked, load_encoder, load_net
from vision.view import stretch

if TYPE_CHECKING:
    from vision.train.segment import SegmentSettings
    from vision.train.training import Training

_HALF = (0.5, 0.5, 0.5)                # what the EfficientNet-Lites of TensorFlow are fed with


class _ResizedCrop(v2.RandomResizedCrop):  # type: ignore[misc]
    """As torchvision's, but a label map's pixels come from their own centres: its `nearest` takes the
    upper left ones, half a pixel beside the picture's, which thin things do not survive."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        top, left = params["top"], params["left"]
        cut = inpt.as_subclass(Tensor)[top : top + params["height"], left : left + params["width"]]
        resized = F.interpolate(cut[None, None], tuple(self.size), mode="nearest-exact")[0, 0]
        return tv_tensors.Mask(resized)


def augmentation(settings: SegmentSettings) -> v2.Transform:
    """How a picture with its label map is varied."""
    width, height = settings.crop
    ratio, colour = width / height, settings.colour
    return v2.Compose([
        _ResizedCrop((height, width), settings.area, (ratio / 1.2, ratio * 1.2)),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(colour, colour, colour),
    ])


class SegmentationSet(Dataset[tuple[Tensor, Tensor]]):
    """Items (3,H,W) uint8 RGB and (H,W) uint8 labels, decoded once and kept in memory.

    transform: for training. size_wh: for validation, the picture stretched to it as in use, and the labels at
    their own size. Raises DataError where the maps are void all over.
    """

    def __init__(
        self, pairs: Pairs, transform: v2.Transform | None = None, size_wh: tuple[int, int] | None = None
    ) -> None:
        self.pairs, self.transform = pairs, transform
        self.items: list[tuple[Tensor, Tensor]] = []
        for i in range(len(pairs)):
            picture, labels = read_pair(pairs, i)
            if size_wh is not None:
                picture = stretch(picture, size_wh).pixels
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            self.items.append((torch.from_numpy(rgb).permute(2, 0, 1), torch.from_numpy(labels)))
        if not self.pixels.any():
            raise DataError(
                f"the label maps in {str(pairs.maps[0].parent)!r} are void all over: no pixel is of a class."
            )

    @property
    def pixels(self) -> np.ndarray:
        """How many pixels each class has, (C,) int64."""
        counts = sum(torch.bincount(labels.flatten(), minlength=256) for _, labels in self.items)
        return np.asarray(counts)[: len(self.pairs.names)]

    def __len__(self) -> int:
        return len(self.items)

    @staticmethod
    def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor | list[Tensor]]:
        """A batch; labels of different sizes stay a list."""
        pictures, labels = zip(*items, strict=True)
        alike = len({one.shape for one in labels}) == 1
        return torch.stack(pictures), torch.stack(labels) if alike else list(labels)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        index, seed = key
        picture, labels = self.items[index]
        if self.transform is None:
            return picture, labels
        with drawn(seed), one_thread():
            varied, mask = self.transform(tv_tensors.Image(picture), tv_tensors.Mask(labels))
        return varied.as_subclass(Tensor), mask.as_subclass(Tensor)


class Segmentation(Objective):
    """Cross entropy, balanced or not, and Dice; judged by the mean IoU over the whole set.

    weights: (C,) of the classes, or None. dice: the weight of the Dice loss.
    """

    words: ClassVar[Mapping[str, str]] = {"miou": "mIoU", "accuracy": "accuracy"}

    def __init__(self, card: Card, weights: Tensor | None, dice: float) -> None:
        super().__init__(card)
        self.weights, self.dice = weights, dice
        self.confusion = Confusion(len(card.classes), IGNORE)

    def logits(self, net: nn.Module, pictures: Tensor) -> Tensor:
        """(B,3,H,W) uint8 -> (B,C,H,W) float32 logits."""
        logits: Tensor = net(self.inputs(pictures))
        return logits.float()

    def loss(self, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        """`cross_entropy` and, where asked for, `dice`."""
        pictures, labels = batch
        logits, labels = self.logits(net, pictures), labels.long()
        weights = None if self.weights is None else self.weights.to(logits.device)
        terms = {"cross_entropy": losses.cross_entropy(logits, labels, IGNORE, weights)}
        if self.dice:
            terms["dice"] = self.dice * losses.dice_loss(logits, labels, IGNORE)
        return terms

    def update(self, net: nn.Module, batch: Any) -> None:
        """Count the pixels; class maps are brought to the labels' size, as in use."""
        pictures, labels = batch
        found = self.logits(net, pictures).argmax(1)
        together = [(found, labels)] if isinstance(labels, Tensor) else zip(found[:, None], labels, strict=True)
        for predicted, truth in together:
            truth = truth if truth.ndim == 3 else truth[None]
            self.confusion.to(truth.device).update(_resized(predicted, truth.shape[-2:]), truth)

    def pictures(self, net: nn.Module, batch: Any) -> Tensor:
        """Up to four pictures, each over its labels over its prediction."""
        pictures = batch[0][:4]
        labels = torch.cat([_resized(one[None], pictures.shape[-2:]) for one in batch[1][:4]])
        palette = torch.tensor([class_colour(c)[::-1] for c in range(255)] + [(0, 0, 0)], dtype=torch.uint8)
        found = self.logits(net, pictures).argmax(1)
        painted = [palette.to(m.device)[m.long()].movedim(-1, 1) for m in (labels, found)]
        return torch.cat([pictures, *painted], 2)

    def figures(self) -> dict[str, float]:
        """miou, class_average, accuracy, and the IoU of each class, all in 0..1."""
        now = self.confusion.figures()
        per_class = {f"iou_{n}": float(v) for n, v in zip(self.card.classes, now.iou, strict=True)}
        return {
            "miou": now.miou, "class_average": now.class_average, "accuracy": now.accuracy, **per_class
        }


def _resized(maps: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Label maps (B,H,W) at another size: of each pixel the nearest one's, as `Segmenter` does it."""
    if maps.shape[-2:] == tuple(size_hw):
        return maps
    return F.interpolate(maps[:, None].byte(), tuple(size_hw), mode="nearest-exact")[:, 0].long()


def train(training: Training, told: Told) -> Trained:
    """Train a segmenter. Raises DataError where a class has no pixel to learn from."""
    settings: SegmentSettings = training.settings
    net_name, config = settings.network(len(training.names))
    net = build(net_name, **config)
    if settings.weights is not None:
        load_net(net, settings.weights)
    elif settings.encoder_file is not None:
        load_encoder(net.get_submodule("encoder"), settings.encoder_file)
    freeze_as_asked(net, settings.frozen)
    mean, std = (_HALF, _HALF) if "tf_efficientnet_lite" in settings.model else (IMAGENET_MEAN, IMAGENET_STD)
    card = Card(
        name=training.folder.name, task="segment", net=net_name, config=config, file="best.safetensors",
        licence="as the training data's", source=f"trained on {training.source}", names=training.names,
        input=Input(settings.size, "stretch", mean=mean, std=std),
    )
    learned, held = training.data
    sets = SegmentationSet(learned, augmentation(settings)), SegmentationSet(held, None, settings.size)
    without = [name for name, pixels in zip(training.names, sets[0].pixels, strict=True) if not pixels]
    if without:
        raise DataError(
            f"no pixel of the training maps is of {', '.join(without[:5])}. Label some, or take the class out of "
            "classes.txt; the maps hold the classes' numbers, from 0 on, and 255 is void."
        )
    objective = Segmentation(card, _weights(settings, sets[0]), settings.dice)
    return fit(Parts(net, objective, *sets), training, told)


def _weights(settings: SegmentSettings, data: SegmentationSet) -> Tensor | None:
    match settings.balance:
        case "none":
            return None
        case "median":
            weights = losses.median_frequency([labels.numpy() for _, labels in data.items], len(data.pairs.names))
        case "segnet":
            weights = np.array(losses.SEGNET_WEIGHTS, np.float32)
            if len(weights) != len(data.pairs.names):
                raise DataError(f"SegNet's weights are for CamVid's {len(weights)} classes, not for "
                                f"{len(data.pairs.names)}. Take --balance median.")
    return torch.as_tensor(weights**settings.balance_power)
