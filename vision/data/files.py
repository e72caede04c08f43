"""Files of labels are other people's: what is read of them is bounded here, in size, in nesting and in number."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vision.errors import DataError

MAX_CLASSES = 10_000
_MAX_TEXT = 64 << 20                   # bytes of a file of lines, of YAML or of XML
_MAX_JSON = 2 << 30                    # COCO's own training labels have 450 MB
_MAX_NAME = 200                        # characters of a class's name


def bytes_of(path: Path, most: int = _MAX_TEXT) -> bytes:
    """A file's content. Raises DataError for one that is larger than `most` bytes, or is not there."""
    try:
        size = path.stat().st_size
        if size > most:
            raise DataError(f"{str(path)!r} has {size >> 20} MB; labels of at most {most >> 20} MB are read.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read ({error.strerror}).") from error


def text_of(path: Path, most: int = _MAX_TEXT) -> str:
    """The text of a file, as `bytes_of`. Raises DataError for one that is no UTF-8."""
    try:
        return bytes_of(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r} is no text in UTF-8 ({error}).") from error


def coco_content(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The lists `images`, `annotations` and `categories` of a COCO file, each entry of the first and the last with
    a name and an id of its own. Raises DataError where it is not one."""
    try:
        content = json.loads(text_of(path, _MAX_JSON))
        lists = {kind: [dict(entry) for entry in content[kind]] for kind in ("images", "annotations", "categories")}
        for kind, name in (("images", "file_name"), ("categories", "name")):
            for entry in lists[kind]:
                entry[name] = str(entry[name])
                if not _is_id(entry["id"]):
                    raise ValueError(f"the id {str(entry['id'])[:40]!r} of one of its {kind} is no whole number")
            key, count = Counter(e["id"] for e in lists[kind]).most_common(1)[0] if lists[kind] else (0, 1)
            if count > 1:
                raise DataError(f"{str(path)!r} has {count} {kind} with the id {key}. Give each its own.")
        for entry in lists["annotations"]:
            if not (_is_id(entry["image_id"]) and _is_id(entry["category_id"])):
                raise ValueError("an annotation whose image_id or category_id is no whole number")
        return lists
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{str(path)!r} is not a COCO annotation file with images, annotations and categories "
            f"({type(error).__name__}: {str(error)[:200]})."
        ) from error


def class_names(names: Sequence[str], path: Path) -> tuple[str, ...]:
    """The names of classes that a file gives. Raises DataError where two are the same, one is empty, or they are
    more or longer than a name can be."""
    if not names:
        raise DataError(f"{str(path)!r} names no class.")
    if len(names) > MAX_CLASSES:
        raise DataError(f"{str(path)!r} names {len(names)} classes; at most {MAX_CLASSES} are trained.")
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(f"{str(path)!r} names the class {name!r} {count} times. Give each class its own name.")
        if not name.strip() or len(name) > _MAX_NAME:
            raise DataError(
                f"{str(path)!r} has a class named {name[:40]!r} ({len(name)} characters). A name has 1 to {_MAX_NAME}."
            )
    return tuple(names)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
