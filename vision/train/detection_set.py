"""Items of detection data: varied ones to learn from, letterboxed ones to be judged by, and batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from vision.errors import DataError, SourceError
from vision.io.pictures import decode_picture
from vision.metrics.detection import Truth
from vision.train.data import Key, drawn, epoch_of, one_thread
from vision.train.detection_data import DetectionData
from vision.train.detection_transforms import GREY, Augment, Sample, as_sample
from vision.types import Floats, Image
from vision.view import View, fitted

_BLANK = np.full((1, 1, 3), GREY, np.uint8)
_TRIES = 20                            # pictures in a row that cannot be read, before the data is given up


class _Pictures:
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


class DetectionSet(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Items to learn from: picture (3,H,W) uint8 RGB, boxes (N,4) float32 xyxy in its pixels, and labels
    (N,) int64. Difficult objects are among them, crowds are not.

    An item is a function of its key alone, which has the epoch in it: mosaic and mix-up end when
    `augment.mixed_epochs` says so in every loading process, and in a resumed run too. In place of a
    picture that cannot be read another one is drawn.
    """

    def __init__(self, data: DetectionData, augment: Augment) -> None:
        self.data, self.augment = data, augment
        self._pictures = _Pictures(data)
        self._needed = max(augment.size_wh) * max(augment.scale[1], augment.mosaic_scale[1])

    @property
    def broken(self) -> list[int]:
        """Indices of the pictures that could not be read so far."""
        return self._pictures.broken

    def __len__(self) -> int:
        return len(self.data.pictures)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor, Tensor]:
        index, seed = key
        last = self.augment.mixed_epochs
        with drawn(seed), one_thread():
            item = self.augment(index, self._sample, len(self), last is None or epoch_of(key) < last)
        picture, boxes, labels = (item[name].as_subclass(Tensor) for name in ("picture", "boxes", "labels"))
        return picture, boxes, labels

    def _sample(self, index: int) -> Sample:
        for _ in range(_TRIES):
            image = self._pictures.read(index, self._needed)
            if image is not None:
                labelled = self.data.pictures[index]
                chosen = ~labelled.crowd
                reduced = np.float32(round(max(labelled.size_wh) / max(image.shape[:2])))
                return as_sample(
                    _rgb(image), torch.from_numpy(labelled.boxes[chosen] / reduced),
                    torch.from_numpy(labelled.labels[chosen]),
                )
            index = int(torch.randint(len(self), ()))
        raise DataError(
            f"{len(self.broken)} of {len(self)} pictures cannot be read, {_TRIES} in a row. "
            f"First {str(self.data.pictures[self.broken[0]].path)!r}."
        )


class HeldOutPictures(Dataset[tuple[Tensor, Tensor, Tensor, int, Tensor]]):
    """Items to be judged by: picture, boxes and labels as in `DetectionSet`, all pictures at one size as
    `Detector` shows them to the network; the picture's index in `data`, -1 where it cannot be read (then
    it is grey); and its view (4,) float64: scale x and y, offset x and y, for `to_picture`.
    """

    def __init__(
        self, data: DetectionData, size_wh: tuple[int, int], resize: str = "letterbox"
    ) -> None:
        self.data, self.size_wh, self.resize = data, size_wh, resize
        self._pictures = _Pictures(data)

    @property
    def broken(self) -> list[int]:
        """Indices of the pictures that could not be read so far."""
        return self._pictures.broken

    def __len__(self) -> int:
        return len(self.data.pictures)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor, Tensor, int, Tensor]:
        index, labelled = key[0], self.data.pictures[key[0]]
        image = self._pictures.read(index)
        whole = image is not None
        view = fitted(_BLANK if image is None else image, self.size_wh, self.resize)
        return (
            _rgb(view.pixels),
            torch.from_numpy(view.from_frame(labelled.boxes[: None if whole else 0])),
            torch.from_numpy(labelled.labels[: None if whole else 0]),
            index if whole else -1,
            torch.tensor([*view.scale, *view.offset], dtype=torch.float64),
        )

    def to_picture(self, boxes: Floats, index: int, view: Sequence[float]) -> Floats:
        """(N,4) xyxy in network pixels -> (N,4) xyxy in the pixels of picture `index`, cut to it."""
        sx, sy, ox, oy = view
        place = View(np.empty((0, 0, 3), np.uint8), (sx, sy), (ox, oy), self.data.pictures[index].size_wh)
        return place.to_frame(boxes)

    def truth(self) -> Truth:
        """What to score against: all but the pictures that could not be read."""
        return self.data.truth(without=self.broken)


def collate(items: Sequence[tuple[Any, ...]]) -> tuple[Tensor, ...]:
    """A batch: pictures (B,3,H,W) uint8, boxes (B,M,4) float32 filled up with 0, labels (B,M) int64 filled
    up with -1; of `HeldOutPictures` also index (B,) int64 and views (B,4) float64."""
    pictures, boxes, labels, *rest = zip(*items, strict=True)
    return (
        torch.stack(pictures),
        pad_sequence(list(boxes), batch_first=True),
        pad_sequence(list(labels), batch_first=True, padding_value=-1),
        *(torch.stack([torch.as_tensor(value) for value in part]) for part in rest),
    )


def _rgb(image: Image) -> Tensor:
    """(H,W,3) BGR -> (3,H,W) RGB, in memory as it was: channels last."""
    return torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
