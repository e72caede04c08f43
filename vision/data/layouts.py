"""Labelled pictures as people keep them: COCO JSON, YOLO folders, Pascal VOC XML, read as they are.

A layout is a function of a folder, a split and a record of problems; it gives the classes and what it
found of each picture, or None where the folder is not laid out so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from math import nan
from os.path import exists, isdir, isfile  # False, too, for what can be no name
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from xml.etree import ElementTree

import yaml

from vision.boxes import cxcywh_to_xyxy
from vision.card import name_list
from vision.data.files import bytes_of, class_names, coco_content, text_of
from vision.errors import DataError
from vision.files import lines_of
from vision.io.pictures import PICTURE_SUFFIXES, natural

LOOKED_FOR = (
    "{split}.json, annotations/{split}.json, annotations/instances_{split}*.json or "
    "{split}/_annotations.coco.json (COCO); ImageSets/Main/{split}.txt with Annotations and JPEGImages "
    "(Pascal VOC); data.yaml (YOLO)"
)
_ALIASES = {"val": ("val", "valid", "validation")}


class Problem(StrEnum):
    """What may be wrong in a data set, and what is done about it."""

    OUTSIDE = "boxes that reach outside their picture, cut"
    BEYOND = "boxes that lie outside their picture, dropped"
    NO_AREA = "boxes without area, dropped"
    UNKNOWN = "boxes of an unknown class, dropped"
    STRAY = "boxes of a picture that is not listed, dropped"
    TWICE = "boxes that are there twice, kept once"
    UNREADABLE_ROW = "boxes that cannot be read, dropped"
    UNLABELLED = "pictures without labels, kept as background"
    UNREADABLE_LABELS = "pictures whose labels cannot be read, left out"
    MISSING = "pictures that are missing, left out"
    BROKEN = "pictures that cannot be read, left out"
    OTHER_SIZE = "pictures of another size than their labels are for, left out"
    MADE = "masks without boxes, boxes made"
    NO_MASK = "boxes without masks, learnt from by --box-loss or --teacher alone, not judged"
    UNREADABLE_MASK = "masks that cannot be read, or are not of their picture's size, or not in it, dropped"
    STRANGE = "objects of a class that the detector does not know, left out"


Problems = dict[Problem, list[str]]


class _Texts(yaml.SafeLoader):  # type: ignore[misc]
    """YAML whose values are all texts: yes, no and 3 are names of classes."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


class Row(NamedTuple):
    """A labelled object: its class's name, its box xyxy (none where there is a mask alone), VOC's and COCO's flags,
    its area in square pixels where that is not its box's (COCO's: the mask's), its mask as it is written, and its key
    points, K times x and y, NaN where one is not labelled."""

    name: str
    box: tuple[float, ...]
    difficult: bool = False
    crowd: bool = False
    area: float | None = None
    mask: Any = None
    points: tuple[float, ...] = ()


class Found(NamedTuple):
    """A picture as a layout tells of it: the size that its labels are for, or None; boxes are in pixels,
    or in shares of the picture where `relative`."""

    path: Path
    size_wh: tuple[int, int] | None
    rows: list[Row]
    relative: bool = False


class Layout(NamedTuple):
    """The classes, in label order, and the pictures."""

    names: tuple[str, ...]
    pictures: Iterable[Found]


def note(problems: Problems, kind: Problem, place: str) -> None:
    """One more of a kind."""
    problems.setdefault(kind, []).append(place)


def coco(data: Path, split: str, problems: Problems) -> Layout | None:
    """COCO's annotation file, with the pictures beside it, in `images`, or in a folder of the split's name.
    Labels follow the order of the categories' ids."""
    path = _coco_file(data, split)
    if path is None:
        return None
    content = coco_content(path)
    rows: dict[int, list[Row]] = {image["id"]: [] for image in content["images"]}
    names = _categories(content)
    files = {image["id"]: image["file_name"] for image in content["images"]}
    try:
        sizes = {image["id"]: _size(image.get("width"), image.get("height")) for image in content["images"]}
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{str(path)!r} has a picture whose width or height is no number ({error}).") from error
    for annotation in content["annotations"]:
        key, category = annotation["image_id"], annotation["category_id"]
        box, mask = _floats(annotation.get("bbox")), annotation.get("segmentation")
        if key not in rows:
            note(problems, Problem.STRAY, f"image_id {key}")
        elif len(box) != 4 and (box or not mask):
            note(problems, Problem.UNREADABLE_ROW, files[key])
        else:
            corners = (*box[:2], box[0] + box[2], box[1] + box[3]) if box else ()
            flags = bool(annotation.get("difficult")), bool(annotation.get("iscrowd"))
            name = names.get(category, f"category {category}")
            area = next(iter(_floats([annotation.get("area")])), 0.0)
            points = _labelled_points(_floats(annotation.get("keypoints")), 3)
            rows[key].append(Row(name, corners, *flags, area if area > 0 else None, mask, points))
    folder = coco_pictures(data, path, split, list(files.values()))
    found = (Found(folder / files[key], sizes[key], rows[key]) for key in files)
    return Layout(class_names(tuple(names.values()), path), found)


def _categories(content: dict[str, list[dict[str, Any]]]) -> dict[int, str]:
    """The names of the categories in the order of their ids. Some tools list the data set itself as a category:
    of two of one name the one that no annotation has is left out."""
    used = {annotation["category_id"] for annotation in content["annotations"]}
    named = {entry["id"]: entry["name"] for entry in sorted(content["categories"], key=lambda e: int(e["id"]))}
    twice = {name for name, count in Counter(named.values()).items() if count > 1}
    return {key: name for key, name in named.items() if name not in twice or key in used}


def voc(data: Path, split: str, problems: Problems, lists_in: str = "Main") -> Layout | None:
    """Pascal VOC: the list `ImageSets/Main/SPLIT.txt`, pictures in `JPEGImages`, XML in `Annotations`.
    The classes are VOC's twenty where all of those in `Annotations` are, else those, sorted by name."""
    lists = [data / "ImageSets" / lists_in / f"{name}.txt" for name in _ALIASES.get(split, (split,))]
    path = next((p for p in lists if p.is_file()), None)
    if path is None or not (data / "Annotations").is_dir():
        return None
    files = {p.stem: p for p in sorted((data / "JPEGImages").glob("*")) if p.suffix.lower() in PICTURE_SUFFIXES}
    every = {p.stem: _voc_rows(p) for p in sorted((data / "Annotations").glob("*.xml"))}
    used = {row.name for content in every.values() if content for row in content[1]}
    standard = name_list("voc")
    names = standard if used <= set(standard) else tuple(sorted(used))

    def found() -> Iterator[Found]:
        lines = [line.strip() for line in lines_of(text_of(path))]
        for stem in (line if line in files else line.split()[0] for line in lines if line):      # a flag may follow
            picture = files.get(stem, data / "JPEGImages" / f"{stem}.jpg")
            content = every.get(stem, (None, []))
            if content is None:
                note(problems, Problem.UNREADABLE_LABELS, picture.name)
            else:
                yield Found(picture, *content)

    return Layout(names, found())


def yolo(data: Path, split: str, problems: Problems) -> Layout | None:
    """`data.yaml` (or the one YAML file of the folder, or that file itself) with `names` and, for each
    split, folders or text files of pictures. Labels lie in `labels` where the picture's path has
    `images`: a line each, class and centre and size in shares of the picture, or class and polygon."""
    path = _yaml_file(data)
    if path is None:
        return None
    try:
        content = yaml.load(text_of(path), _Texts)
        listed = content["names"]
        pairs = sorted((int(i), name) for i, name in (
            listed.items() if isinstance(listed, dict) else enumerate(listed)
        ))
        if not isinstance(listed, dict | list) or not all(isinstance(name, str) for _, name in pairs):
            raise TypeError("names is a list of texts, or numbers with texts")
        root = path.parent / str(content.get("path") or "")
        entries = next((content[key] for key in _ALIASES.get(split, (split,)) if content.get(key)), None)
        several = [entries] if isinstance(entries, str) else [str(entry) for entry in entries or ()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(
            f"{str(path)!r} is not a YOLO data file with names, train and val "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})."
        ) from error
    if not several:
        raise DataError(f"{str(path)!r} has no {split!r}. Add its folder, as {split}: images/{split}")
    roots = (root, path.parent) if isdir(root) else (path.parent,)
    pictures = [picture for entry in several for picture in _listed(entry, roots, path)]
    posed = _values_of_a_point(content)                 # rows go on with key points then, not with a polygon
    rows = ((p, _yolo_rows(p, dict(pairs), posed, problems)) for p in pictures)
    found = (Found(p, None, of_picture, True) for p, of_picture in rows if of_picture is not None)
    return Layout(class_names([name for _, name in pairs], path), found)


LAYOUTS = (coco, voc, yolo)


def _labelled_points(values: tuple[float, ...], each: int) -> tuple[float, ...]:
    """x and y of every point, NaN where it is not labelled. each: values of one: x and y, and, of three, whether it
    is (0: no)."""
    if not values or len(values) % each:
        return ()
    shown = values[2::3] if each == 3 else (1.0,) * (len(values) // 2)
    pairs = zip(values[::each], values[1::each], shown, strict=True)
    return tuple(number if seen else nan for x, y, seen in pairs for number in (x, y))


def _values_of_a_point(content: dict[str, Any]) -> int:
    """2 or 3, as YOLO's `kpt_shape` says; 0 where the data has no key points."""
    shape = content.get("kpt_shape")
    return 0 if shape is None else 3 if isinstance(shape, list) and [str(n) for n in shape[1:]] == ["3"] else 2


def _floats(values: Any) -> tuple[float, ...]:
    """The values as floats; none at all where one is not a number, or no place on any picture."""
    try:
        floats = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return ()
    return floats if all(abs(value) < 1e9 for value in floats) else ()


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    """The stated size; None where it is not stated, or 0 as some tools write it."""
    return (int(width), int(height)) if width and height else None


def _coco_file(data: Path, split: str) -> Path | None:
    for name in _ALIASES.get(split, (split,)):
        exact = (f"{name}.json", f"annotations/{name}.json", f"{name}/_annotations.coco.json")
        found = [p for p in (data / place for place in exact) if p.is_file()]
        found += sorted((data / "annotations").glob(f"instances_{name}*.json"))
        if len(found) > 1:
            raise DataError(f"{str(data)!r} has {len(found)} files for {split}: {_names(found)}. Keep one.")
        if found:
            return found[0]
    return None


def coco_pictures(data: Path, path: Path, split: str, files: list[str]) -> Path:
    """The folder that has the first pictures which are there at all. Raises DataError where none has."""
    tag = path.stem.removeprefix("instances_")
    folders = [data / "images" / tag, data / tag, data / "images" / split, data / split, data / "images",
               path.parent, data]
    for folder in folders:
        if any(isfile(folder / file) for file in files[:50]):
            return folder
    raise DataError(
        f"the pictures of {str(path)!r} are not there: looked for {files[0] if files else 'none'!r} in "
        f"{', '.join(str(f) for f in dict.fromkeys(folders))}."
    )


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(p.name for p in paths)


def _yaml_file(data: Path) -> Path | None:
    if data.is_file():
        return data if data.suffix in (".yaml", ".yml") else None
    found = [p for p in (data / "data.yaml", data / "data.yml") if p.is_file()] or [
        *data.glob("*.yaml"), *data.glob("*.yml")
    ]
    return found[0] if len(found) == 1 else None


def _listed(entry: str, roots: tuple[Path, ...], source: Path) -> list[Path]:
    """The pictures of an entry of data.yaml: of a folder, of a text file, or the one that it is."""
    tries = [root / e for root in roots for e in (entry, entry.removeprefix("../"))]   # Roboflow's ../
    path = next((p for p in tries if exists(p)), None)
    if path is None:
        raise DataError(f"{str(source)!r} names {entry!r}, which is not there: looked for {str(tries[0])!r}.")
    if path.is_dir():
        return sorted((p for p in path.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES), key=natural)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return [path]
    lines = [line.strip() for line in lines_of(text_of(path)) if line.strip()]
    places = (path.parent, *roots)
    return [next((p / line for p in places if isfile(p / line)), path.parent / line) for line in lines]


def _yolo_rows(picture: Path, names: dict[int, str], posed: int, problems: Problems) -> list[Row] | None:
    parts = list(picture.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    path = Path(*parts).with_suffix(".txt")
    rows = []
    try:
        text = bytes_of(path).decode("utf-8-sig", "replace") if isfile(path) else ""
    except DataError:
        note(problems, Problem.UNREADABLE_LABELS, picture.name)
        return None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        row = _yolo_row(line.split(), names, posed)
        if row is None:
            note(problems, Problem.UNREADABLE_ROW, f"{path.name}, line {number}")
        else:
            rows.append(row)
    return rows


def _yolo_row(words: list[str], names: dict[int, str], posed: int) -> Row | None:
    """Class and box, after which a score, or a score and a track's number, may follow as `vision detect --yolo` writes
    them; or class and polygon; or, with `posed` values a point, class and box and key points. None where it is none."""
    values = _floats(words)
    if len(values) < 5 or not values[0].is_integer():
        return None
    name, scored = names.get(int(values[0]), f"class {int(values[0])}"), 0 <= values[5] <= 1 if values[5:] else True
    if len(values) <= 6 or posed or (len(values) == 7 and words[6].isdigit()):
        points = _labelled_points(values[5:], posed) if posed else ()
        return Row(name, tuple(cxcywh_to_xyxy(values[1:5])[0].tolist()), points=points) if scored or posed else None
    xs, ys = values[1::2], values[2::2]
    if len(xs) != len(ys):
        return None
    return Row(name, (min(xs), min(ys), max(xs), max(ys)), mask=[values[1:]])


def _voc_rows(path: Path) -> tuple[tuple[int, int] | None, list[Row]] | None:
    """Stated size and objects of an annotation; None where it cannot be read. VOC counts pixels from 1
    and the last one in: here that is from 0, and to the end of it."""
    try:
        root = ElementTree.fromstring(bytes_of(path))
        width, height = (float(root.findtext(f"size/{side}") or 0) for side in ("width", "height"))
        rows = []
        for thing in root.iter("object"):
            name = (thing.findtext("name") or "").strip()
            corners = _floats(thing.findtext(f"bndbox/{k}") for k in ("xmin", "ymin", "xmax", "ymax"))
            if not name or not corners:
                return None
            left, top, right, bottom = corners
            rows.append(Row(name, (left - 1, top - 1, right, bottom), thing.findtext("difficult") == "1"))
        return _size(width, height), rows
    except (ElementTree.ParseError, ValueError, OverflowError, RecursionError, DataError):
        return None
