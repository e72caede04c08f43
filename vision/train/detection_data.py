"""Labelled pictures for detection as people have them: COCO JSON, YOLO folders, Pascal VOC XML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vision.boxes import area, clip, xyxy_to_xywh
from vision.errors import DataError, SourceError
from vision.io.pictures import picture_size
from vision.metrics.detection import Truth
from vision.types import Floats, Ints

SLACK = 0.5                             # pixels that rounding may put a box outside of its picture
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Labelled:
    """A picture and its objects: boxes (N,4) float32 xyxy in its pixels, labels (N,) int64; difficult
    (N,), hard to see: trained on, not scored; crowd (N,), many in one box: neither."""

    path: Path
    size_wh: tuple[int, int]
    boxes: Floats
    labels: Ints
    difficult: Bools
    crowd: Bools


@dataclass(frozen=True)
class DetectionData:
    """A split of a data set. problems: what is wrong in it, each kind with all its places."""

    names: tuple[str, ...]
    pictures: tuple[Labelled, ...]
    problems: dict[str, list[str]]

    def summary(self) -> list[str]:
        """A line for each kind of problem: how many there are, and the first."""
        return [f"{len(places)} {kind} (first: {places[0]})" for kind, places in self.problems.items()]

    def truth(self, without: Iterable[int] = ()) -> Truth:
        """The labels to score against, as COCO's lists: a picture's id is its index, a category's its
        label. Sizes (small, medium, large) go by the boxes' areas. without: pictures left out."""
        left_out = set(without)
        chosen = [(i, p) for i, p in enumerate(self.pictures) if i not in left_out]
        images = [
            {"id": i, "file_name": p.path.name, "width": p.size_wh[0], "height": p.size_wh[1]}
            for i, p in chosen
        ]
        rows = [
            {"image_id": i, "category_id": label, "bbox": box, "area": size, "iscrowd": int(ignored)}
            for i, p in chosen
            for label, box, size, ignored in zip(
                p.labels.tolist(), xyxy_to_xywh(p.boxes).tolist(), area(p.boxes).tolist(),
                (p.difficult | p.crowd).tolist(), strict=True,
            )
        ]
        annotations: list[dict[str, Any]] = [{"id": i, **row} for i, row in enumerate(rows, start=1)]
        return Truth(images, annotations, [{"id": i, "name": n} for i, n in enumerate(self.names)])


class Found(NamedTuple):
    """A picture as a layout tells of it. size_wh: as the labels state it, or None. rows: class name, box
    xyxy, difficult, crowd. relative: boxes are in shares of the picture instead of pixels."""

    path: Path
    size_wh: tuple[int, int] | None
    rows: Sequence[tuple[str, Sequence[float], bool, bool]]
    relative: bool = False


def read_detection(data: Path, split: str, names: Sequence[str] | None = None) -> DetectionData:
    """The split (`train` or `val`) of the data set in folder `data`.

    COCO: `SPLIT.json` or `annotations/*SPLIT*.json` in it. names: the classes of another split, which
    this one must have too, in the order to use. Raises DataError where no layout fits, where there are no
    pictures, no classes or no boxes that can be used, or where the names differ.
    """
    problems: dict[str, list[str]] = {}
    own, found = _coco(data, split, problems)
    if names is not None and set(names) != set(own):
        raise DataError(
            f"the classes of {split} are not those of the other split: {_some(set(own) - set(names))} "
            f"only here, {_some(set(names) - set(own))} only there."
        )
    chosen = tuple(names or own)
    pictures = [p for one in found if (p := _checked(one, chosen, problems)) is not None]
    if not any(len(p.boxes) for p in pictures):
        raise DataError(f"{str(data)!r} has {len(pictures)} pictures for {split} and no box to use in them.")
    return DetectionData(chosen, tuple(pictures), problems)


def _checked(found: Found, names: Sequence[str], problems: dict[str, list[str]]) -> Labelled | None:
    """The picture with what is right of its labels; None where it cannot be used."""
    place = found.path.name

    def note(kind: str, where: str = "") -> None:
        problems.setdefault(kind, []).append(place + where)

    if not found.path.is_file():
        note("pictures are missing, left out")
        return None
    try:
        size_wh = picture_size(found.path)
    except SourceError:
        note("pictures cannot be read, left out")
        return None
    if found.size_wh not in (None, size_wh):
        note("pictures have another size than their labels say, left out", f" {size_wh}")
        return None
    if not found.rows:
        note("pictures have no labels, kept as background")
    boxes, labels, flags = [], [], []
    for i, (name, box, *flag) in enumerate(found.rows):
        scale = np.tile(size_wh, 2) if found.relative else 1.0
        whole = np.asarray(box, np.float64) * scale
        cut = clip(whole[None].astype(np.float32), size_wh)[0]
        if name not in names:
            note("boxes are of an unknown class, dropped", f" box {i}: {name}")
        elif not (np.isfinite(whole).all() and (cut[2:] > cut[:2]).all()):
            note("boxes have no area, dropped", f" box {i}")
        else:
            if np.abs(whole - cut).max() > SLACK:
                note("boxes reach outside their picture, cut", f" box {i}")
            boxes.append(cut)
            labels.append(names.index(name))
            flags.append(flag)
    difficult, crowd = np.array(flags, bool).reshape(-1, 2).T
    return Labelled(
        found.path, size_wh, np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64),
        difficult, crowd,
    )


def _coco(data: Path, split: str, problems: dict[str, list[str]]) -> tuple[list[str], Iterator[Found]]:
    path = data / f"{split}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    names = {c["id"]: str(c["name"]) for c in sorted(content["categories"], key=lambda c: c["id"])}
    rows: dict[Any, list[Any]] = {}
    for a in content["annotations"]:
        x, y, w, h = a["bbox"]
        name = names.get(a["category_id"], f"category {a['category_id']}")
        row = (name, (x, y, x + w, y + h), bool(a.get("difficult")), bool(a.get("iscrowd")))
        rows.setdefault(a["image_id"], []).append(row)
    found = (
        Found(data / "images" / i["file_name"], (i["width"], i["height"]), rows.get(i["id"], ()))
        for i in content["images"]
    )
    return list(dict.fromkeys(names.values())), found


def _some(names: Iterable[str]) -> str:
    """Up to five of the names."""
    listed = sorted(names)
    return (", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")) or "none"
