"""Pictures with label maps: folders, CamVid's layout, and how they are varied for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image as pil
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from vision.card import IMAGENET_MEAN, IMAGENET_STD
from vision.errors import DataError
from vision.io.pictures import PICTURE_SUFFIXES
from vision.train.data import Key, drawn, one_thread
from vision.view import stretch
from vision.zoo import CAMVID

IGNORE = 255                           # what no class counts as, in every label map that leaves here


@dataclass(frozen=True)
class Pairs:
    """A split of a data set: pictures and their label maps, the classes' names, the label that no
    class counts as, and the pictures that were left out for want of labels."""

    pictures: tuple[Path, ...]
    maps: tuple[Path, ...]
    names: tuple[str, ...]
    void: int
    without: tuple[Path, ...] = ()


def find_pairs(folder: Path, split: str) -> Pairs:
    """The pairs of `folder` for `split` (`train`, `val`, ...).

    Two layouts: `SPLIT/` with `SPLITannot/` as CamVid has it, and `SPLIT/images/` with
    `SPLIT/labels/`. A label map is an index PNG of the picture's name, with a palette (as VOC has it) or
    without. `classes.txt` in `folder` names the classes, one a line, and 255 is void; without it the
    classes are CamVid's eleven and void is 11. Raises DataError where there are no pictures, no labels or
    no names.
    """
    camvid = (folder / f"{split}annot").is_dir()
    images = folder / split if camvid else folder / split / "images"
    labels = folder / f"{split}annot" if camvid else folder / split / "labels"
    if not images.is_dir() or not labels.is_dir():
        raise DataError(
            f"{str(folder)!r} has no split {split!r}. Expected {split}/images and {split}/labels, or "
            f"{split} and {split}annot as CamVid has them."
        )
    listed = folder / "classes.txt"
    if listed.is_file():
        names, void = tuple(listed.read_text(encoding="utf-8").split("\n")), IGNORE
        names = tuple(name.strip() for name in names if name.strip())
        if not names:
            raise DataError(f"{str(listed)!r} names no class: a name a line, in label order.")
    elif camvid:
        names, void = CAMVID, len(CAMVID)
    else:
        raise DataError(
            f"{str(folder)!r} has no classes.txt: the classes' names, one a line, in label order."
        )
    pictures = sorted(p for p in images.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    pairs = [(p, labels / f"{p.stem}.png") for p in pictures]
    whole = [(p, m) for p, m in pairs if m.is_file()]
    without = tuple(p for p, m in pairs if not m.is_file())
    if not whole:
        raise DataError(
            f"{str(images)!r} has {len(pictures)} pictures and none with a label map in {str(labels)!r}."
        )
    return Pairs(tuple(p for p, _ in whole), tuple(m for _, m in whole), names, void, without)


def read_pair(pairs: Pairs, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture i (H,W,3) uint8 RGB and its labels (H,W) uint8 with void as IGNORE; raises DataError
    where they do not fit each other or the classes."""
    picture = cv2.imread(str(pairs.pictures[i]), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"{str(pairs.pictures[i])!r} cannot be read.")
    try:
        with pil.open(pairs.maps[i]) as opened:          # OpenCV gives a palette's colours, not the indices
            mode, labels = opened.mode, np.asarray(opened)
    except (OSError, SyntaxError, ImportError) as error:     # the last where ultralytics has changed Pillow
        raise DataError(f"{str(pairs.maps[i])!r} cannot be read.") from error
    if mode not in ("L", "P"):
        raise DataError(f"{str(pairs.maps[i])!r} is not an index PNG (8 bit, one channel), but {mode}.")
    if labels.shape != picture.shape[:2]:
        raise DataError(
            f"{str(pairs.maps[i])!r} is {labels.shape[1]}x{labels.shape[0]}, its picture "
            f"{picture.shape[1]}x{picture.shape[0]}. They must have one size."
        )
    wrong = np.setdiff1d(labels, [*range(len(pairs.names)), pairs.void, IGNORE])
    if wrong.size:
        raise DataError(
            f"{str(pairs.maps[i])!r} has the label {wrong[0]}, outside the {len(pairs.names)} classes "
            f"and void ({pairs.void})."
        )
    labels = np.where(labels == pairs.void, np.uint8(IGNORE), labels)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), labels


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


@dataclass(frozen=True)
class Augment:
    """How training pictures vary. crop_wh: what the network sees, in pixels. area: the share of the
    picture that a crop covers, a range. colour: strength of the change of brightness, contrast and
    saturation. Left and right are swapped half of the time."""

    crop_wh: tuple[int, int]
    area: tuple[float, float] = (0.2, 1.0)
    colour: float = 0.4

    def transform(self) -> v2.Transform:
        """The transforms of torchvision, for a picture with its label map."""
        width, height = self.crop_wh
        ratio = width / height
        return v2.Compose([
            _ResizedCrop((height, width), self.area, (ratio / 1.2, ratio * 1.2)),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(self.colour, self.colour, self.colour),
        ])


class SegmentationSet(Dataset[tuple[Tensor, Tensor]]):
    """Items (3,H,W) uint8 RGB and (H,W) uint8 labels, decoded once and kept in memory.

    augment: for training; None: the picture as it is, or stretched to size_wh as in use, and the labels
    at their own size.
    """

    def __init__(
        self, pairs: Pairs, augment: Augment | None = None, size_wh: tuple[int, int] | None = None
    ) -> None:
        self.pairs = pairs
        self.items: list[tuple[Tensor, Tensor]] = []
        for i in range(len(pairs.pictures)):
            picture, labels = read_pair(pairs, i)
            if augment is None and size_wh is not None:
                picture = stretch(picture, size_wh).pixels
            self.items.append((torch.from_numpy(picture).permute(2, 0, 1), torch.from_numpy(labels)))
        if not any((labels != IGNORE).any() for _, labels in self.items):
            raise DataError(
                f"the label maps in {str(pairs.maps[0].parent)!r} are void all over: no pixel is of a class."
            )
        self.transform = augment.transform() if augment is not None else None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        index, seed = key
        picture, labels = self.items[index]
        if self.transform is None:
            return picture, labels
        with drawn(seed), one_thread():
            varied, mask = self.transform(tv_tensors.Image(picture), tv_tensors.Mask(labels))
        return varied.as_subclass(Tensor), mask.as_subclass(Tensor)


def normalise(
    pictures: Tensor, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> Tensor:
    """(B,3,H,W) uint8 RGB -> float32, as `nets.deploy.Deploy` does it inside the graph."""
    scale = 1 / (255 * torch.tensor(std, device=pictures.device)).view(1, 3, 1, 1)
    shift = (-torch.tensor(mean, device=pictures.device) / torch.tensor(std, device=pictures.device))
    x = pictures.float() * scale + shift.view(1, 3, 1, 1)
    return x.contiguous(memory_format=torch.channels_last)
