"""A data set for detection, checked: what it holds, and what is wrong in it, named and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from os.path import isfile  # False, too, for what can be no name
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.boxes import area, clip, xyxy_to_xywh
from vision.data.layouts import LAYOUTS, LOOKED_FOR, Found, Layout, Problem, Problems, Row, note
from vision.data.masks import Segmentation, box_around, segmentation_of
from vision.data.truth import Truth
from vision.errors import DataError, SourceError
from vision.io.pictures import picture_size
from vision.types import Floats, Ints

SLACK = 0.5                             # pixels that rounding may put a box outside of its picture
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Labelled:
    """A picture and its objects: boxes (N,4) float32 xyxy in its pixels, labels (N,) int64; difficult
    (N,), hard to see: trained on, not scored; crowd (N,), many in one box: neither. areas (N,), square pixels: of the
    boxes, or of what the data says (COCO: of the masks). masks: N, where they were asked for; None of an object without
    one. sure (N,) in 0..1: 1 of a person's label, a teacher's score of what it sees; None: all are a person's. points
    (N,K,2) float32 in its pixels, from the picture's corner, so that the middle of the first pixel is 0.5: key points,
    NaN where one is not labelled."""

    path: Path
    size_wh: tuple[int, int]
    boxes: Floats
    labels: Ints
    difficult: Bools
    crowd: Bools
    areas: Floats
    masks: tuple[Segmentation | None, ...] = ()
    sure: Floats | None = None
    points: Floats = field(default_factory=lambda: np.zeros((0, 0, 2), np.float32))

    def chosen(self, keep: Bools, labels: Ints) -> Labelled:
        """The picture with the objects of `keep` (N,) alone, and other labels (N,) for them."""
        rows = np.flatnonzero(keep)
        columns = {name: getattr(self, name)[rows] for name in ("boxes", "difficult", "crowd", "areas")}
        sure = None if self.sure is None else self.sure[rows]
        masks, points = tuple(self.masks[i] for i in rows), self.points[rows]
        return replace(self, **columns, labels=labels[rows], masks=masks, sure=sure, points=points)


@dataclass(frozen=True)
class DetectionData:
    """A split of a data set. problems: what is wrong in it, each kind with all its places."""

    names: tuple[str, ...]
    pictures: tuple[Labelled, ...]
    problems: Problems

    def __len__(self) -> int:
        return len(self.pictures)

    def first(self, count: int | None) -> DetectionData:
        """The first `count` pictures alone; all of them for None."""
        return self if count is None else replace(self, pictures=self.pictures[:count])

    def summary(self) -> list[str]:
        """A line for each kind of problem: how many there are, and the first."""
        return [f"{kind}: {len(places)} (first: {places[0]})" for kind, places in self.problems.items()]

    def truth(self, without: Iterable[int] = ()) -> Truth:
        """The labels to score against, as COCO's lists: a picture's id is its index, a category's its
        label, a file's name its whole path. Sizes (small, medium, large) go by the objects' areas. without:
        pictures left out."""
        left_out = set(without)
        chosen = [(i, p) for i, p in enumerate(self.pictures) if i not in left_out]
        images = [
            {"id": i, "file_name": str(p.path), "width": p.size_wh[0], "height": p.size_wh[1]}
            for i, p in chosen
        ]
        rows = [
            {"image_id": i, "category_id": label, "bbox": box, "area": size, "iscrowd": int(ignored)}
            for i, p in chosen
            for label, box, size, ignored in zip(
                p.labels.tolist(), xyxy_to_xywh(p.boxes).tolist(), p.areas.tolist(),
                (p.difficult | p.crowd).tolist(), strict=True,
            )
        ]
        for row, mask in zip(rows, (mask for _, p in chosen for mask in p.masks), strict=False):
            row["segmentation"] = mask
        annotations: list[dict[str, Any]] = [{"id": i, **row} for i, row in enumerate(rows, start=1)]
        return Truth(images, annotations, [{"id": i, "name": n} for i, n in enumerate(self.names)])


Reader = Callable[[Path, str, Problems], Layout | None]


def read_detection(
    data: Path, split: str, names: Sequence[str] | None = None, *, layouts: Sequence[Reader] = LAYOUTS,
    looked_for: str = LOOKED_FOR, masks: bool = False,
) -> DetectionData:
    """The split (`train` or `val`) of the data set in the folder `data`, in one of the `layouts`.

    names: the classes of another split, which this one must have too, in the order to use. looked_for: what the
    layouts are, for people. masks: whether to keep the objects' masks too. Raises DataError where no layout fits,
    where there are no classes, no pictures or no box to use, or where the names differ.
    """
    problems: Problems = {}
    layout = next((found for read in layouts if (found := read(data, split, problems))), None)
    if layout is None:
        raise DataError(f"{str(data)!r} has no split {split!r}. Looked for {looked_for.format(split=split)}.")
    if names is not None and set(names) != set(layout.names):
        here, there = set(layout.names) - set(names), set(names) - set(layout.names)
        raise DataError(
            f"the classes of {split!r} in {str(data)!r} are not those of the other split: only here "
            f"{_some(here)}; only there {_some(there)}. Both must name the same ones."
        )
    chosen = tuple(names or layout.names)
    label_of = {name: i for i, name in enumerate(chosen)}
    pictures = tuple(p for one in layout.pictures if (p := _usable(one, label_of, problems, masks)) is not None)
    whole = DetectionData(chosen, pictures, problems)
    if not any(len(p.boxes) for p in pictures):
        wrong = "; ".join(whole.summary()) or "nothing else is wrong with them"
        raise DataError(
            f"{str(data)!r} has {len(pictures)} pictures for {split!r} and no box to use: {wrong}."
        )
    return whole


def read_splits(data: Path) -> tuple[DetectionData, DetectionData]:
    """`train` and `val` of the data set in the folder `data`, with the same classes in the same order."""
    train = read_detection(data, "train")
    return train, read_detection(data, "val", train.names)


def _usable(found: Found, label_of: dict[str, int], problems: Problems, masks: bool) -> Labelled | None:
    """The picture with what is right of its labels; None where it cannot be used."""
    path = found.path
    if not isfile(path):
        note(problems, Problem.MISSING, path.name)
        return None
    try:
        size_wh = picture_size(path)
    except SourceError:
        note(problems, Problem.BROKEN, path.name)
        return None
    if found.size_wh is not None and found.size_wh != size_wh:
        (w, h), (label_w, label_h) = size_wh, found.size_wh
        note(problems, Problem.OTHER_SIZE, f"{path.name}, {w}x{h} for {label_w}x{label_h}")
        return None
    rows = [row if row.box else _boxed(row, size_wh, path.name, problems) for row in found.rows]
    if not rows:
        note(problems, Problem.UNLABELLED, path.name)
    whole = np.array([row.box for row in rows], np.float64).reshape(-1, 4)
    if found.relative:
        whole *= np.tile(size_wh, 2)
    boxes = clip(whole.astype(np.float32), size_wh)
    kept: list[int] = []
    seen: set[tuple[object, ...]] = set()
    for i, row in enumerate(rows):
        place = f"{path.name}, box {i} of {row.name}"
        if row.name not in label_of:
            note(problems, Problem.UNKNOWN, place)
        elif not (whole[i, 2:] > whole[i, :2]).all():
            note(problems, Problem.NO_AREA, place)
        elif not (boxes[i, 2:] > boxes[i, :2]).all():
            note(problems, Problem.BEYOND, place)
        elif row[:2] in seen:
            note(problems, Problem.TWICE, place)
        else:
            kept.append(i)
            seen.add(row[:2])
            if np.abs(whole[i] - boxes[i]).max() > SLACK:
                note(problems, Problem.OUTSIDE, place)
    areas = [own if rows[i].area is None else rows[i].area for i, own in zip(kept, area(boxes[kept]), strict=True)]
    return Labelled(
        path, size_wh, boxes[kept], np.array([label_of[rows[i].name] for i in kept], np.int64),
        np.array([rows[i].difficult for i in kept], bool), np.array([rows[i].crowd for i in kept], bool),
        np.array(areas, np.float32),
        tuple(_mask(rows[i], found.relative, size_wh, f"{path.name}, {rows[i].name}", problems) for i in kept if masks),
        points=_points([rows[i] for i in kept], size_wh if found.relative else None),
    )


def _points(rows: Sequence[Row], size_wh: tuple[int, int] | None) -> Floats:
    """The key points (N,K,2) of all rows; of those with fewer the rest is NaN. size_wh: what they are shares of; else
    they are numbers of pixels, COCO's, and half a pixel brings them to their middles."""
    points = np.full((len(rows), max((len(row.points) // 2 for row in rows), default=0), 2), np.nan, np.float32)
    for mine, row in zip(points, rows, strict=True):
        given = np.reshape(np.array(row.points, np.float32), (-1, 2))
        mine[: len(given)] = given + np.float32(0.5) if size_wh is None else given * np.array(size_wh, np.float32)
    return points


def _boxed(row: Row, size_wh: tuple[int, int], name: str, problems: Problems) -> Row:
    """A row that has a mask alone, with the box around it; one without area where the mask is empty or none."""
    try:
        mask = segmentation_of(row.mask, size_wh)
    except DataError:
        mask = None
    note(problems, Problem.UNREADABLE_MASK if mask is None else Problem.MADE, f"{name}, {row.name}")
    return row._replace(box=(0.0, 0.0, 0.0, 0.0) if mask is None else box_around(mask, size_wh))


def _mask(row: Row, relative: bool, size_wh: tuple[int, int], place: str, problems: Problems) -> Segmentation | None:
    """The mask of a row in pixels; None where it has none, which is noted unless it is a crowd's."""
    given = row.mask
    if relative and given is not None:
        given = [(np.reshape(ring, (-1, 2)) * size_wh).ravel() for ring in given]
    try:
        mask = segmentation_of(given, size_wh)
    except DataError:
        mask = None
    if mask is None and not row.crowd:
        note(problems, Problem.UNREADABLE_MASK if given else Problem.NO_MASK, place)
    return mask


def _some(names: Iterable[str]) -> str:
    """Up to five of the names."""
    listed = sorted(names)
    return (", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")) or "none"
