"""Pictures with their classes, to learn from: folders or a CSV, and how a part of them is held out."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.data.files import class_names, text_of
from vision.errors import DataError
from vision.io.pictures import PICTURE_SUFFIXES, natural

_HELD = ("val", "valid", "validation", "test")           # folders, or words in a CSV's column `split`; the first counts


@dataclass(frozen=True)
class Pictures:
    """Pictures and what is in them.

    paths, labels: of each picture its classes' indices: one, or any number with `multilabel`. names: of the classes.
    groups: what each picture comes from (a day, a patient, a clip), which is never in two parts. notes: what is worth
    saying, in lines.
    """

    paths: tuple[Path, ...]
    labels: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def summary(self) -> list[str]:
        """What is worth saying of it, in lines."""
        return list(self.notes)

    def part(self, places: Sequence[int]) -> Pictures:
        """The pictures at these places."""
        return Pictures(tuple(self.paths[i] for i in places), tuple(self.labels[i] for i in places), self.names,
                        tuple(self.groups[i] for i in places))

    @property
    def counts(self) -> tuple[int, ...]:
        """How many pictures each class has."""
        seen = Counter(label for labels in self.labels for label in labels)
        return tuple(seen[i] for i in range(len(self.names)))


def read_pictures(data: Path, group: str = "", multilabel: bool = False) -> tuple[Pictures, Pictures | None]:
    """All pictures, or those to learn from and those that the data itself holds out.

    data: a folder with a folder of pictures for each class; one with `train/` and `val/` of such; or a CSV with the
        columns `file` (beside the CSV) and `label`, and, where it has them, `split` and `group`. With `multilabel` a
        label is several names, as `dog|grass`, or none.
    group: a regular expression, whose first group, or match, in the path below `data` says what a picture comes from.
    Raises DataError for fewer than two classes, a class without pictures, and classes that the two parts do not share.
    """
    if data.is_file():
        train, val = _listed(data, group, multilabel)
    elif multilabel:
        raise DataError(f"several classes a picture are listed in a CSV with the columns file and label "
                        f"(as dog|grass); {str(data)!r} is a folder.")
    else:
        held = next((data / name for name in _HELD if (data / name).is_dir()), None)
        if (data / "train").is_dir():
            train = _in_folders(data / "train", group, None)
            val = None if held is None else _in_folders(held, group, train.names)
        else:
            train, val = _in_folders(data, group, None), None
    if len(train.names) < 2:
        raise DataError(f"{str(data)!r} has one class, {train.names[0]!r}: there is nothing to tell apart. Give two at "
                        "least, a folder for each.")
    empty = [name for name, count in zip(train.names, train.counts, strict=True) if not count]
    if empty:
        raise DataError(f"classes without a picture to learn from: {', '.join(empty[:5])}. Fill or remove them.")
    return train, val


def _in_folders(root: Path, group: str, known: tuple[str, ...] | None) -> Pictures:
    folders = sorted((f for f in root.iterdir() if f.is_dir() and not f.name.startswith(".")), key=natural)
    if not folders:
        raise DataError(f"{str(root)!r} has no folders of pictures, one for each class.")
    names = class_names([folder.name for folder in folders], root)
    if known is not None and (strange := sorted(set(names) - set(known))):
        raise DataError(f"{str(root)!r} has the classes {', '.join(strange[:5])}, which the pictures to learn from do "
                        "not have. Name the folders alike.")
    found = [
        (path, ((known or names).index(folder.name),))
        for folder in folders for path in sorted(folder.rglob("*"), key=natural)
        if path.suffix.lower() in PICTURE_SUFFIXES
    ]
    if not found:
        raise DataError(f"{str(root)!r} has folders and no picture in them.")
    lacking = [name for name in known or () if name not in names]
    notes = (f"classes of which nothing is held out: {', '.join(lacking[:5])}",) if lacking else ()
    paths = tuple(path for path, _ in found)
    groups = tuple(_group(path.relative_to(root).as_posix(), group) for path in paths)
    return Pictures(paths, tuple(labels for _, labels in found), known or names, groups, notes)


def _listed(path: Path, group: str, multilabel: bool) -> tuple[Pictures, Pictures | None]:
    try:
        read = csv.DictReader(io.StringIO(text_of(path), newline=""))
        rows, columns = list(read), set(read.fieldnames or ())
    except csv.Error as error:
        raise DataError(f"{str(path)!r} cannot be read as CSV ({error}).") from error
    if not {"file", "label"} <= columns:
        raise DataError(f"{str(path)!r} must have the columns 'file' and 'label'; got {sorted(map(str, columns))}.")
    given = [[n.strip() for n in (row["label"] or "").split("|") if n.strip()] if multilabel else [row["label"] or ""]
             for row in rows]
    names = class_names(sorted({name for labels in given for name in labels}), path)
    there = [(row, labels) for row, labels in zip(rows, given, strict=True)
             if row["file"] and (path.parent / row["file"]).is_file()]
    if not there:
        raise DataError(f"{str(path)!r} lists {len(rows)} pictures; none of them is beside it.")
    gone = [row["file"] for row in rows if not (row["file"] and (path.parent / row["file"]).is_file())]
    notes: tuple[str, ...] = ()
    if gone:
        notes = (f"rows without a picture, left out: {len(gone)}, first {gone[0]!r}",)
    whole = Pictures(
        tuple(path.parent / row["file"] for row, _ in there),
        tuple(tuple(sorted(names.index(n) for n in labels)) for _, labels in there), names,
        tuple(row.get("group") or _group(row["file"], group) for row, _ in there), notes,
    )
    splits = [(row.get("split") or "train").lower() for row, _ in there]
    word = next((word for word in _HELD if word in splits), None)
    if word is None:
        return whole, None
    notes += tuple(f"rows of {other!r}, left out: {splits.count(other)}" for other in _HELD
                   if other in splits and other != word)
    train = whole.part([i for i, split in enumerate(splits) if split not in _HELD])
    held = whole.part([i for i, split in enumerate(splits) if split == word])
    return Pictures(train.paths, train.labels, names, train.groups, notes), held


def _group(name: str, pattern: str) -> str:
    """What a picture comes from: itself, unless a pattern says more."""
    if not pattern:
        return name
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise DataError(f"--group is a regular expression, such as '(day\\d+)_'; {pattern!r} is none "
                        f"({error}).") from error
    if found is None:
        raise DataError(f"--group {pattern!r} does not match {name!r}: what does it come from?")
    return found[1] if found.groups() else found[0]


def dealt(pictures: Pictures, folds: int, seed: int = 0) -> list[tuple[Pictures, Pictures]]:
    """So many pairs of a part to learn from and a part that is held out: each picture is held out once, a group is
    never in both, and the classes are shared out evenly. Raises DataError for more folds than groups."""
    groups = len(set(pictures.groups))
    if folds > groups:
        raise DataError(f"{folds} parts of {groups} groups cannot be: a group is never in two. Take fewer --folds.")
    first = _first(pictures)
    if folds > (most := max(Counter(first).values(), default=0)):
        raise DataError(f"{folds} parts cannot be: no class has more than {most} pictures. Take fewer --folds, or more "
                        "pictures.")
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    alone = groups == len(pictures)                      # each picture its own group: the quicker way
    dealer = (StratifiedKFold if alone else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    return [
        (pictures.part(learned), pictures.part(held))
        for learned, held in dealer.split(first, first, None if alone else pictures.groups)
    ]


def _first(pictures: Pictures) -> list[int]:
    """The class by which each picture is shared out; -1 for one without."""
    return [labels[0] if labels else -1 for labels in pictures.labels]


def held_out(pictures: Pictures, share: float, seed: int = 0) -> tuple[Pictures, Pictures]:
    """A part to learn from and a `share` (0..0.5) that is held out, as `dealt` has them."""
    most = max(Counter(_first(pictures)).values(), default=0)
    folds = min(round(1 / share), most, len(set(pictures.groups)))
    if folds < 2:
        raise DataError("there are too few pictures to hold some out: two of a class at least. Give more, or a part of "
                        "their own to judge by (val/).")
    learned, held = dealt(pictures, folds, seed)[0]
    lacking = [name for name, count in zip(pictures.names, learned.counts, strict=True) if not count]
    if lacking:
        raise DataError(f"of {', '.join(lacking[:5])} every picture would be held out: give more groups of it.")
    return learned, held
