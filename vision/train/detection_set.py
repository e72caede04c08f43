"""Items of detection data: varied ones to learn from, letterboxed ones to be judged by, and batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from vision.card import Input
from vision.data.detection import DetectionData, Labelled
from vision.errors import DataError, SourceError
from vision.io.pictures import decode_picture
from vision.tasks.detect import input_view
from vision.train.detection_transforms import GREY, Sample, as_sample, varied
from vision.train.loading import Key, drawn, epoch_of, one_thread
from vision.types import Floats, Image
from vision.view import View

if TYPE_CHECKING:
    from vision.train.detect import VariedSettings

_BLANK = np.full((1, 1, 3), GREY, np.uint8)
_TRIES = 20                            # pictures in a row that cannot be read, before the data is given up


class HeldOut(NamedTuple):
    """A picture to be judged by: pixels (h,w,3) uint8 BGR, as the network gets it; its number in the data, -1 where it
    cannot be read (it is grey then); its place (4,) float64, scale x and y and offset x and y of its view."""

    pixels: Tensor
    number: int
    place: Tensor


class Pictures:
    """Decodes the pictures of a split. Those that cannot be read are named in a warning, once, and noted
    in memory that all loading processes share."""

    def __init__(self, data: DetectionData) -> None:
        self.data = data
        self._broken = torch.zeros(len(data.pictures), dtype=torch.bool)
        self._broken.share_memory_()  # type: ignore[no-untyped-call]

    @property
    def broken(self) -> list[int]:
        """Indices of the pictures that could not be read so far, by any process."""
        return [int(i) for i in self._broken.nonzero()[:, 0]]

    @property
    def unread(self) -> list[Path]:
        """The pictures that could not be read so far."""
        return [self.data.pictures[i].path for i in self.broken]

    def read(self, index: int, needed: float = math.inf) -> Image | None:
        """Picture `index` (H,W,3) BGR; None where it is broken or not of the size of its labels. A JPEG
        comes reduced to a half, a quarter or an eighth where its longer side stays above `needed`."""
        labelled = self.data.pictures[index]
        reduced = max(r for r in (1, 2, 4, 8) if r == 1 or max(labelled.size_wh) / r >= needed)
        try:
            image = decode_picture(labelled.path.read_bytes(), str(labelled.path), reduced=reduced)
            size_wh = image.shape[1], image.shape[0]
            if size_wh in (labelled.size_wh, tuple(-(-side // reduced) for side in labelled.size_wh)):
                return image
            problem = f"{str(labelled.path)!r} is {size_wh}, its labels are for {labelled.size_wh}."
        except (SourceError, OSError) as error:
            problem = str(error)
        if not self._broken[index]:
            self._broken[index] = True
            warnings.warn(f"{problem} The picture is passed over.", stacklevel=2)
        return None


class DetectionSet(Dataset[tuple[Tensor, ...]]):
    """Items to learn from: picture (3,H,W) uint8 RGB, boxes (N,4) float32 xyxy in its pixels, and labels
    (N,) int64. Difficult objects are among them, crowds are not.

    An item is a function of its key alone, which has the epoch in it: mosaic and mix-up end when
    `settings.mixed_epochs` says so in every loading process, and in a resumed run too. In place of a
    picture that cannot be read another one is drawn.
    """

    columns: ClassVar[tuple[str, ...]] = ("picture", "boxes", "labels")

    def __init__(self, data: DetectionData, settings: VariedSettings) -> None:
        self.data, self.settings = data, settings
        self.pictures = Pictures(data)
        self._needed = max(settings.crop) * max(settings.scale[1], settings.mosaic_scale[1])

    def __len__(self) -> int:
        return len(self.data.pictures)

    def __getitem__(self, key: Key) -> tuple[Tensor, ...]:
        index, seed = key
        with drawn(seed), one_thread():
            mixed = epoch_of(key) < self.settings.mixed_epochs
            item = varied(self.settings, index, self._sample, len(self), mixed)
        return tuple(item[name].as_subclass(Tensor) for name in self.columns)

    @staticmethod
    def collate(items: Sequence[tuple[Tensor, ...]]) -> tuple[Any, ...]:
        """A batch: pictures (B,3,H,W) uint8, boxes (B,M,4) float32 filled up with 0, labels (B,M) int64 filled
        up with -1."""
        pictures, boxes, labels = zip(*items, strict=True)
        return (
            torch.stack(pictures), pad_sequence(list(boxes), batch_first=True),
            pad_sequence(list(labels), batch_first=True, padding_value=-1),
        )

    def sample(self, image: Image, labelled: Labelled, reduced: int) -> Sample:
        """A picture (H,W,3) BGR, `reduced` times smaller than it is, with its objects."""
        chosen = ~labelled.crowd
        return as_sample(
            rgb(image), torch.from_numpy(labelled.boxes[chosen] / np.float32(reduced)),
            torch.from_numpy(labelled.labels[chosen]),
        )

    def _sample(self, index: int) -> Sample:
        for _ in range(_TRIES):
            image = self.pictures.read(index, self._needed)
            if image is not None:
                reduced = round(max(self.data.pictures[index].size_wh) / max(image.shape[:2]))
                return self.sample(image, self.data.pictures[index], reduced)
            index = int(torch.randint(len(self), ()))
        raise DataError(
            f"{len(self.pictures.broken)} of {len(self)} pictures cannot be read, {_TRIES} in a row. "
            f"First {str(self.data.pictures[self.pictures.broken[0]].path)!r}."
        )


class TaughtSet(DetectionSet):
    """As `DetectionSet`, with how sure each label is, (N,) float32."""

    columns: ClassVar[tuple[str, ...]] = ("picture", "boxes", "labels", "sure")

    def sample(self, image: Image, labelled: Labelled, reduced: int) -> Sample:
        """A picture (H,W,3) BGR, `reduced` times smaller than it is, with its objects."""
        sure = np.ones(len(labelled.boxes), np.float32) if labelled.sure is None else labelled.sure
        return {**super().sample(image, labelled, reduced), "sure": torch.from_numpy(sure[~labelled.crowd])}

    @staticmethod
    def collate(items: Sequence[tuple[Tensor, ...]]) -> tuple[Any, ...]:
        """A batch: as `DetectionSet`'s, and sure (B,M) float32 filled up with 0."""
        *others, sure = zip(*items, strict=True)
        return *DetectionSet.collate(list(zip(*others, strict=True))), pad_sequence(list(sure), batch_first=True)


class PointedSet(DetectionSet):
    """As `DetectionSet`, with the objects' key points (N,K,2) float32, NaN where one is not labelled. K is that of the
    picture with most."""

    columns: ClassVar[tuple[str, ...]] = ("picture", "boxes", "labels", "points")

    def sample(self, image: Image, labelled: Labelled, reduced: int) -> Sample:
        """A picture (H,W,3) BGR, `reduced` times smaller than it is, with its objects."""
        most = max(one.points.shape[1] for one in self.data.pictures)
        points = np.full((len(labelled.boxes), most, 2), np.nan, np.float32)
        points[:, : labelled.points.shape[1]] = labelled.points / np.float32(reduced)
        plain = super().sample(image, labelled, reduced)
        boxes, labels = plain["boxes"].as_subclass(Tensor), plain["labels"]
        return as_sample(plain["picture"], boxes, labels, points=torch.from_numpy(points[~labelled.crowd]))


class HeldOutPictures(Dataset[HeldOut]):
    """Items to be judged by, each as `Detector` shows it to the network, at a size of its own."""

    def __init__(self, data: DetectionData, wanted: Input) -> None:
        self.data, self.wanted = data, wanted
        self.pictures = Pictures(data)

    def __len__(self) -> int:
        return len(self.data.pictures)

    def __getitem__(self, key: Key) -> HeldOut:
        image = self.pictures.read(key[0])
        view = input_view(_BLANK if image is None else image, self.wanted)
        place = torch.tensor([*view.scale, *view.offset], dtype=torch.float64)
        return HeldOut(torch.from_numpy(view.pixels), -1 if image is None else key[0], place)

    def to_picture(self, boxes: Floats, item: HeldOut) -> Floats:
        """(N,4) xyxy in network pixels -> (N,4) xyxy in the pixels of the item's picture, cut to it."""
        sx, sy, ox, oy = item.place.tolist()
        frame_wh = self.data.pictures[item.number].size_wh
        return View(np.empty((0, 0, 3), np.uint8), (sx, sy), (ox, oy), frame_wh).to_frame(boxes)

    @staticmethod
    def collate(items: list[HeldOut]) -> list[HeldOut]:
        """A batch: its items, whose sizes may differ."""
        return items


def rgb(image: Image) -> Tensor:
    """(H,W,3) BGR -> (3,H,W) RGB, in memory as it was: channels last."""
    return torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
