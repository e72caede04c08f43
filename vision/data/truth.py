"""Labelled boxes to score against, as COCO's lists."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vision.card import alike
from vision.data.files import class_names, coco_content
from vision.data.masks import box_around, segmentation_of
from vision.errors import DataError
from vision.io.pictures import picture_size
from vision.types import Names


@dataclass(frozen=True)
class Truth:
    """Labelled boxes: the lists of a COCO file. Difficult objects count as crowd: finding one is
    neither right nor wrong, as in VOC's own scoring."""

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read a COCO annotation file; of a mask without a box that around it is made. Raises DataError where it is not
        one."""
        content = coco_content(path)
        truth = cls(content["images"], _boxed(content), content["categories"])
        pictures, classes = {i["id"] for i in truth.images}, {c["id"] for c in truth.categories}
        try:
            boxes = [
                {"iscrowd": 0, **a, "area": a.get("area") or float(a["bbox"][2]) * float(a["bbox"][3]), "id": i}
                for i, a in enumerate(truth.annotations, start=1)
            ]
            if not all(len(a["bbox"]) == 4 and all(abs(v) < 1e9 for v in a["bbox"]) for a in boxes):
                raise ValueError("another count, or no place on any picture")
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            raise DataError(
                f"{str(path)!r} has a box that is not four numbers: x, y, width, height in pixels "
                f"({type(error).__name__}: {error})."
            ) from error
        class_names(truth.names, path)
        stray = sum(a["image_id"] not in pictures or a["category_id"] not in classes for a in boxes)
        if stray:
            raise DataError(f"{str(path)!r} has {stray} boxes of a picture or category that it does not list")
        crowd = [{**a, "iscrowd": int(bool(a["iscrowd"] or a.get("difficult")))} for a in boxes]
        return replace(truth, annotations=crowd)

    def sized(self, folder: Path) -> Truth:
        """The same with each picture's size, read from those in `folder` where the file does not say it. Raises
        SourceError for one that cannot be read."""
        images = []
        for image in self.images:
            width, height = image.get("width"), image.get("height")
            if not (width and height):
                width, height = picture_size(folder / image["file_name"])
            images.append({**image, "width": width, "height": height})
        return replace(self, images=images)

    def with_masks(self) -> Truth:
        """The same with every mask checked; each picture has a size. An object without a mask counts as crowd. Raises
        DataError for run lengths of another picture's size, and where there is no mask at all to judge by."""
        sizes = {i["id"]: (int(i["width"]), int(i["height"])) for i in self.images}
        kept: list[dict[str, Any]] = []
        for one in self.annotations:
            mask = segmentation_of(one.get("segmentation"), sizes[one["image_id"]])
            kept.append({**one, "segmentation": mask} if mask else {**one, "segmentation": _box(one), "iscrowd": 1})
        if self.annotations and all(one["iscrowd"] for one in self.annotations):
            raise DataError("there are crowds alone, which are not judged: `iscrowd` is 0 of an object by itself")
        if self.annotations and all(one["iscrowd"] for one in kept):
            raise DataError("no object has a mask that can be used: a COCO file for instances has `segmentation` in "
                            "each, polygons of three points or more or run lengths, within its picture")
        return replace(self, annotations=kept)

    def first(self, count: int | None) -> Truth:
        """The first `count` pictures alone, with their boxes; all of them for None."""
        if count is None:
            return self
        images = self.images[:count]
        there = {image["id"] for image in images}
        return replace(self, images=images, annotations=[a for a in self.annotations if a["image_id"] in there])

    @property
    def names(self) -> list[str]:
        """The classes, in the order of their ids: that of every table of figures."""
        return [str(c["name"]) for c in sorted(self.categories, key=lambda c: int(c["id"]))]

    def restricted(self, names: Names) -> tuple[Truth, dict[int, int], list[str]]:
        """The truth about the classes in `names`; the category id for each of the names' indices; and
        the classes that are not in `names`. VOC's and COCO's names for one thing are one class (`aeroplane`,
        `airplane`). Raises DataError where no class is left."""
        ids = {c["name"]: c["id"] for c in self.categories}
        known = {alike(name): i for name, i in ids.items()} | ids
        category_of = {i: known[key] for i, name in enumerate(names)
                       if (key := name if name in ids else alike(name)) in known}
        if not category_of:
            raise DataError(
                f"the data's classes ({', '.join(list(ids)[:5])}, ...) and the model's "
                f"({', '.join(names[:5])}, ...) have no name in common."
            )
        left = set(category_of.values())
        unknown = sorted(name for name, i in ids.items() if i not in left)
        kept = [a for a in self.annotations if a["category_id"] in left]
        return Truth(self.images, kept, [c for c in self.categories if c["id"] in left]), category_of, unknown


def _boxed(content: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The annotations, those with a mask and no box with the box around it. Raises DataError for run lengths of another
    picture's size, and for a size that is no number."""
    sizes = {i["id"]: (i.get("width"), i.get("height")) for i in content["images"]}
    boxed = []
    for one in content["annotations"]:
        given, (width, height) = one.get("segmentation"), sizes.get(one["image_id"], (None, None))
        if not one.get("bbox") and given and width and height:
            try:
                size_wh = int(width), int(height)
            except (ValueError, TypeError, OverflowError) as error:
                raise DataError(f"there is a picture whose width or height is no number ({error})") from error
            mask = segmentation_of(given, size_wh)
            left, top, right, bottom = (0.0,) * 4 if mask is None else box_around(mask, size_wh)
            one = {**one, "bbox": [left, top, right - left, bottom - top]}
        boxed.append(one)
    return boxed


def _box(annotation: dict[str, Any]) -> list[list[float]]:
    """The polygon of its box."""
    left, top, width, height = annotation["bbox"]
    return [[left, top, left + width, top, left + width, top + height, left, top + height]]
