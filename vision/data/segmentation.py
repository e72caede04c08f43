"""Pictures with label maps: folders of pairs, and CamVid's layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image as pil

from vision.data.files import bytes_of, class_names, text_of
from vision.errors import DataError, SourceError
from vision.io.base import MAX_PIXELS
from vision.io.pictures import PICTURE_SUFFIXES, decode_picture
from vision.zoo import CAMVID

IGNORE = 255                           # what no class counts as, in every label map that leaves here


@dataclass(frozen=True)
class Pairs:
    """A split of a data set: pictures and their label maps, the classes' names, the label that no class counts as,
    the pictures that were left out for want of labels, and whether masks of 0 and 255 mean the two classes."""

    pictures: tuple[Path, ...]
    maps: tuple[Path, ...]
    names: tuple[str, ...]
    void: int
    without: tuple[Path, ...] = ()
    two_tone: bool = False

    def __len__(self) -> int:
        return len(self.pictures)

    def summary(self) -> list[str]:
        """What is worth saying of it, in lines."""
        lines = [f"255 in the masks is {self.names[1]!r}: they hold 0 and 255 alone"] if self.two_tone else []
        if self.without:
            named = ", ".join(path.name for path in self.without[:5])
            lines.append(f"pictures without labels, left out: {len(self.without)} ({named})")
        return lines


def find_pairs(folder: Path, split: str, trained: Pairs | None = None) -> Pairs:
    """The pairs of `folder` for `split` (`train`, `val`, ...).

    Two layouts: `SPLIT/` with `SPLITannot/` as CamVid has it, and `SPLIT/images/` with
    `SPLIT/labels/`. A label map is an index PNG of the picture's name, with a palette (as VOC has it) or
    without. `classes.txt` in `folder` names the classes, one a line, and 255 is void, unless there are two classes
    and the maps hold 0 and 255 alone (those of `train`, where there is such a split); without it the classes are
    CamVid's eleven and void is 11. trained: `train`, where it was read before. Raises DataError
    where there are no pictures, no labels or no names.
    """
    camvid = (folder / f"{split}annot").is_dir()
    images, labels = _folders(folder, split, camvid)
    if not images.is_dir() or not labels.is_dir():
        raise DataError(
            f"{str(folder)!r} has no split {split!r}. Expected {split}/images and {split}/labels, or "
            f"{split} and {split}annot as CamVid has them."
        )
    listed = folder / "classes.txt"
    if listed.is_file():
        lines = [line.strip() for line in text_of(listed).splitlines()]
        names, void = class_names([line for line in lines if line], listed), IGNORE
        if not 2 <= len(names) < IGNORE:
            raise DataError(f"{str(listed)!r} names {len(names)} classes. 2 to 254, with the background.")
    elif camvid:
        names, void = CAMVID, len(CAMVID)
    else:
        raise DataError(
            f"{str(folder)!r} has no classes.txt: the classes' names, one a line, in label order."
        )
    places = _places(images, labels)
    whole = [(p, m) for p, m in places if m.is_file()]
    without = tuple(p for p, m in places if not m.is_file())
    if not whole:
        raise DataError(
            f"{str(images)!r} has {len(places)} pictures and none with a label map in {str(labels)!r}."
        )
    pairs = Pairs(tuple(p for p, _ in whole), tuple(m for _, m in whole), names, void, without)
    if trained is not None:
        return replace(pairs, two_tone=trained.two_tone)
    decide = [m for _, m in _places(*_folders(folder, "train", camvid)) if m.is_file()] or pairs.maps
    return replace(pairs, two_tone=len(names) == 2 and void == IGNORE and _hold_0_and_255(decide))


def _folders(folder: Path, split: str, camvid: bool) -> tuple[Path, Path]:
    """Where a split has its pictures, and where its label maps."""
    if camvid:
        return folder / split, folder / f"{split}annot"
    return folder / split / "images", folder / split / "labels"


def _places(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    """The pictures of a folder, and where their label maps should be; none where it is not there."""
    pictures = sorted(p for p in images.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES) if images.is_dir() else []
    return [(p, labels / f"{p.stem}.png") for p in pictures]


def _hold_0_and_255(maps: Sequence[Path]) -> bool:
    """Whether label maps have these two values and no other: the first that has another ends the search."""
    seen: set[int] = set()
    for path in maps:
        seen |= set(np.unique(indices(path)).tolist())
        if not seen <= {0, IGNORE}:
            return False
    return seen == {0, IGNORE}


def indices(path: Path, deep: bool = False) -> np.ndarray:
    """A label map (H,W) as it is stored, uint8; with `deep` it may have 16 bits, and is int32. Raises DataError."""
    try:
        with pil.open(path) as opened:                   # OpenCV gives a palette's colours, not the indices
            if opened.mode not in ("L", "P", "1", *(("I;16", "I") if deep else ())):
                bits = "8 or 16 bit" if deep else "8 bit"
                raise DataError(f"{str(path)!r} is not an index PNG ({bits}, one channel), but {opened.mode}.")
            if opened.width * opened.height > MAX_PIXELS:
                raise DataError(f"{str(path)!r} has {opened.width}x{opened.height} pixels: too many for a picture.")
            return np.asarray(opened, np.int32 if deep else np.uint8)
    except (OSError, SyntaxError, ImportError, ValueError, pil.DecompressionBombError) as error:
        # ImportError where ultralytics has changed Pillow
        raise DataError(f"{str(path)!r} cannot be read ({error}).") from error


def read_pair(pairs: Pairs, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture i (H,W,3) uint8 BGR and its labels (H,W) uint8 with void as IGNORE. Raises DataError where
    they do not fit each other or the classes."""
    try:
        picture = decode_picture(bytes_of(pairs.pictures[i], MAX_PIXELS), str(pairs.pictures[i]))
    except SourceError as error:
        raise DataError(str(error)) from error
    labels = indices(pairs.maps[i])
    if labels.shape != picture.shape[:2]:
        raise DataError(
            f"{str(pairs.maps[i])!r} is {labels.shape[1]}x{labels.shape[0]}, its picture "
            f"{picture.shape[1]}x{picture.shape[0]}. They must have one size."
        )
    if pairs.two_tone:
        labels = np.where(labels == IGNORE, np.uint8(1), labels)
        return picture, labels
    wrong = np.setdiff1d(labels, [*range(len(pairs.names)), pairs.void, IGNORE])
    if wrong.size:
        raise DataError(
            f"{str(pairs.maps[i])!r} has the label {wrong[0]}, outside the {len(pairs.names)} classes "
            f"and void ({pairs.void})."
        )
    labels = np.where(labels == pairs.void, np.uint8(IGNORE), labels)
    return picture, labels
