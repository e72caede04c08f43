"""Labels by teachers: detectors that are good at it already say what is in pictures that nobody has labelled.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network": the student learns the teacher's scores, not only
what it decides. Labels of people win over a teacher's where both see an object.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from vision import zoo
from vision.boxes import area, iou, weighted_box_fusion
from vision.card import alike
from vision.data.detection import DetectionData, Labelled
from vision.data.unlabelled import is_labelled, read_unlabelled
from vision.errors import DataError, SourceError, UsageError
from vision.io.pictures import decode_picture
from vision.tasks.detect import Detector

SURE = 0.4                              # from this score on an object counts for a network that learns no scores
_FLOOR = 0.1                            # what a teacher sees with less is noise
_SAME = 0.5                             # overlap of a label with what a teacher sees: one object
_FILE = "teacher.jsonl"
_log = logging.getLogger("vision.train")


def classes_of(teachers: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The classes that teachers know together, of those `wanted` where there are any. Raises UsageError for one that
    no teacher knows, ModelError for a teacher that is not known."""
    known: dict[str, str] = {}
    for teacher in teachers:
        for name in zoo.find(teacher, "detect").classes:
            known.setdefault(alike(name), name)
    strange = [name for name in wanted if alike(name) not in known]
    if strange:
        raise UsageError(f"no teacher knows {', '.join(strange)}. They know: {', '.join(list(known.values())[:80])}.")
    return tuple(wanted) or tuple(known.values())


def read_for(teachers: Sequence[str], wanted: Sequence[str], data: Path) -> tuple[DetectionData, DetectionData] | None:
    """The parts of a folder without labels, its classes those of the teachers; None where the folder has labels."""
    return None if is_labelled(data) else read_unlabelled(data, classes_of(teachers, wanted))


def taught(data: DetectionData, teachers: Sequence[str], folder: Path, whole: bool = False) -> DetectionData:
    """The data with what teachers see added to its labels.

    teachers: names or paths of detectors. folder: of the run, where what they saw is kept, so that a run that goes on
    does not ask again. whole: only objects of which teachers are sure, as labels to be judged by.

    Raises DataError where no teacher knows any of the classes, and where none sees anything in any picture.
    """
    seen = _remembered(folder / _FILE)
    missing = [p for p in data.pictures if str(p.path) not in seen]
    if missing:
        label_of = {alike(name): i for i, name in enumerate(data.names)}
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _FILE).open("a", encoding="utf-8") as file:
            for picture, rows in zip(missing, _watch(missing, teachers, label_of), strict=True):
                if rows is None:
                    continue
                seen[str(picture.path)] = rows
                file.write(json.dumps({"picture": str(picture.path), "objects": rows.round(4).tolist()}) + "\n")
    pictures = tuple(_with(one, seen[str(one.path)], whole) for one in data.pictures if str(one.path) in seen)
    if not any(len(picture.boxes) for picture in pictures):
        raise DataError(f"no teacher ({', '.join(teachers)}) sees any of {', '.join(data.names[:5])} in "
                        f"{len(pictures)} pictures. Take other pictures or another teacher.")
    empty = sum(not len(picture.boxes) for picture in pictures)
    _log.info("%s: %d objects in %d pictures; none in %d", ", ".join(teachers), sum(len(p.boxes) for p in pictures),
              len(pictures), empty)
    return replace(data, pictures=pictures)


def _remembered(path: Path) -> dict[str, np.ndarray]:
    """What was kept, by picture; a last line that was cut off is left out."""
    found: dict[str, np.ndarray] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            found[row["picture"]] = np.array(row["objects"], np.float32).reshape(-1, 6)
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _watch(
    pictures: Sequence[Labelled], teachers: Sequence[str], label_of: dict[str, int]
) -> Iterator[np.ndarray | None]:
    """What teachers see in each picture: rows (N,6) of box xyxy, label and score; None for one that is broken."""
    with ExitStack() as open_ones:
        detectors = [open_ones.enter_context(Detector.load(teacher)) for teacher in teachers]
        own = [np.array([label_of.get(alike(name), -1) for name in one.names]) for one in detectors]
        if all((labels < 0).all() for labels in own):
            raise DataError(f"no teacher ({', '.join(teachers)}) knows any of {', '.join(list(label_of)[:5])}.")
        known = {alike(name) for one in detectors for name in one.names}
        unknown = sorted(label_of.keys() - known)
        if unknown:
            _log.warning("no teacher knows %s", ", ".join(unknown))
        for picture in pictures:
            try:
                image = decode_picture(picture.path.read_bytes(), str(picture.path))
            except (SourceError, OSError) as error:
                _log.warning("left out: %s", error)
                yield None
                continue
            parts = []
            for detector, labels in zip(detectors, own, strict=True):
                found = detector(image, min_score=_FLOOR, max_detections=100)
                mine = labels[found.labels] if len(found) else found.labels
                parts.append(np.column_stack([found.boxes, mine, found.scores])[mine >= 0])
            rows = np.concatenate(parts).astype(np.float32).reshape(-1, 6)
            if len(teachers) > 1:
                boxes, scores, classes = weighted_box_fusion(
                    [part[:, :4] for part in parts], [part[:, 5] for part in parts],
                    [part[:, 4].astype(np.int64) for part in parts])
                rows = np.column_stack([boxes, classes, scores])[scores >= _FLOOR].astype(np.float32)
            yield rows


def _with(picture: Labelled, rows: np.ndarray, whole: bool) -> Labelled:
    """A picture's labels, and after them what teachers see elsewhere in it."""
    rows = rows[rows[:, 5] >= SURE] if whole else rows
    if len(picture.boxes) and len(rows):
        rows = rows[iou(rows[:, :4], picture.boxes).max(axis=1) < _SAME]
    boxes = np.concatenate([picture.boxes, rows[:, :4]]).astype(np.float32)
    added, count = np.zeros(len(rows), bool), len(picture.boxes)
    return replace(
        picture, boxes=boxes, labels=np.concatenate([picture.labels, rows[:, 4].astype(np.int64)]),
        difficult=np.concatenate([picture.difficult, added]), crowd=np.concatenate([picture.crowd, added]),
        areas=np.concatenate([picture.areas, area(boxes[count:])]).astype(np.float32),
        sure=np.concatenate([np.ones(count, np.float32), rows[:, 5]]).astype(np.float32),
        masks=(*picture.masks, *[None] * len(rows)) if picture.masks else (),
    )
