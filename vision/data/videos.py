"""Labelled videos: a folder for each class, UCF101's split lists, folds by group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Literal

from vision.data.files import text_of
from vision.errors import DataError
from vision.files import lines_of
from vision.io.listing import VIDEO_SUFFIXES

_GROUP = re.compile(r"_(g\d+)_c\d+$")                      # v_Punch_g08_c01: UCF101's group
_LISTS = ("", "splits", "ucfTrainTestlist", "../ucfTrainTestlist")


@dataclass(frozen=True)
class Videos:
    """Labelled videos: paths; labels, indices into names; groups, what must not straddle a split; a note on
    what was left out of them, or on how they were chosen."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    groups: tuple[str, ...]
    names: tuple[str, ...]
    note: str = ""

    def __len__(self) -> int:
        return len(self.paths)

    def summary(self) -> list[str]:
        """What is worth saying of them, in lines."""
        return [self.note] if self.note else []

    def where(self, keep: Sequence[bool]) -> Videos:
        """The videos for which `keep` holds, with the same names."""
        return Videos(
            tuple(compress(self.paths, keep)), tuple(compress(self.labels, keep)),
            tuple(compress(self.groups, keep)), self.names,
        )

    def named(self, names: Sequence[str]) -> Videos:
        """The same videos with labels for the classes of a model; DataError for one it does not have."""
        strange = sorted(set(self.names) - set(names))
        if strange:
            raise DataError(
                f"the model does not know {', '.join(strange[:5])} ({len(strange)} of the data's "
                f"{len(self.names)} classes). It knows {len(names)}: {', '.join(names[:5])}. "
                "Give a model that was trained on these classes."
            )
        to = {name: i for i, name in enumerate(names)}
        return Videos(self.paths, tuple(to[self.names[i]] for i in self.labels), self.groups, tuple(names))


def find_videos(root: Path) -> Videos:
    """The videos of a folder that holds a folder for each class, in order of their names.

    A group is UCF101's (`_g08_` in the name, of one class), any other video is its own. Raises
    DataError for no classes, or a class without videos.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {str(root)!r}. Give one that holds a folder for each class.")
    rows: list[tuple[Path, int, str]] = []
    folders = [f for f in sorted(root.iterdir()) if f.is_dir() and f.name not in _LISTS]
    for label, folder in enumerate(folders):
        files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in VIDEO_SUFFIXES)
        if not files:
            raise DataError(f"the class folder {str(folder)!r} has no videos. Fill it, or take it away.")
        rows += [(file, label, group_of(file)) for file in files]
    if not rows:
        raise DataError(f"{str(root)!r} holds no class folders. Give one that holds a folder for each class.")
    paths, labels, groups = zip(*rows, strict=True)
    return Videos(paths, labels, groups, tuple(f.name for f in folders))


def group_of(path: Path) -> str:
    """The group of a video within its class: `g08`, or the file's own name."""
    found = _GROUP.search(path.stem)
    return found[1] if found else path.stem


def listed(root: Path, kind: Literal["train", "test"], split: int) -> Videos:
    """The videos of UCF101's `trainlist0N.txt` or `testlist0N.txt`; listed ones that are not there are in the note.

    The lists lie in `root`, in its `splits` or `ucfTrainTestlist`, or beside it. Raises DataError where the list
    is missing, or nothing of what it names is there.
    """
    videos = find_videos(root)
    name = f"{kind}list{split:02d}.txt"
    path = next((p for p in (root / folder / name for folder in _LISTS) if p.is_file()), None)
    if path is None:
        raise DataError(
            f"there is no {name} in {str(root)!r}, its 'splits' or 'ucfTrainTestlist', or beside it. "
            "Copy UCF101's lists there, or split by group: vision train action --folds 5."
        )
    wanted = [line.split()[0] for line in lines_of(text_of(path)) if line.strip()]
    here = {f"{p.parent.name}/{p.name}" for p in videos.paths}
    missing = [w for w in wanted if w not in here]
    if len(missing) == len(wanted):
        raise DataError(
            f"none of the {len(wanted)} videos that {str(path)!r} names is in {str(root)!r}, first "
            f"{wanted[0] if wanted else 'of an empty list'}."
        )
    chosen = set(wanted)
    found = videos.where([f"{p.parent.name}/{p.name}" in chosen for p in videos.paths])
    return replace(found, note=f"{len(missing)} videos of {name} are not in {root}: left out") if missing else found


def folds(videos: Videos, k: int) -> list[tuple[Videos, Videos]]:
    """k pairs of training and test videos: the groups in order of their names are dealt in turn, so
    that g08, g13, g18 are tested first, g09, g14, g19 next. No group is in both parts of a pair."""
    order = sorted(set(videos.groups))
    if len(order) < k:
        raise DataError(f"{k} folds need at least {k} groups; there are {len(order)}.")
    fold = {group: i % k for i, group in enumerate(order)}
    return [
        (
            videos.where([fold[g] != n for g in videos.groups]),
            videos.where([fold[g] == n for g in videos.groups]),
        )
        for n in range(k)
    ]


def held_out(videos: Videos) -> tuple[Videos, Videos]:
    """What to learn from, and about a fifth of the groups to be judged by: the first of five `folds`. Raises
    DataError where that leaves a class without a video."""
    learned, held = folds(videos, max(2, min(5, len(set(videos.groups)))))[0]
    lacking = sorted(set(videos.labels) - set(learned.labels))
    if lacking:
        raise DataError(
            f"no video of {videos.names[lacking[0]]!r} is left to learn from beside those that are held out. Add "
            "some, or hold nothing out: --everything"
        )
    groups = sorted(set(held.groups))
    named = ", ".join(groups[:3]) + (", ..." if len(groups) > 3 else "")
    note = f"{len(held)} of {len(videos)} videos are held out, by group ({named}); --folds 5 measures all"
    return learned, replace(held, note=note)
