"""Boxes in the layouts of others: COCO results, YOLO text files, MOT Challenge text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import yaml

from vision.errors import SinkError
from vision.files import write_whole
from vision.instances import Instances
from vision.io.pictures import PICTURE_SUFFIXES
from vision.sinks.base import Sink, SinkSpec
from vision.sinks.frames import FolderSink
from vision.sinks.text import TextFile, TextLines
from vision.spec import Option, spec
from vision.types import Names, Tracks

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec

On = Annotated[str | None, Option("the step whose boxes are written, by its key; the last with boxes unless given")]


@spec
class CocoResults(SinkSpec):
    """COCO's results: a JSON list with `image_id`, `category_id`, `bbox` (left, top, width, height in pixels) and
    `score` an object, whole after every frame, as pycocotools' `loadRes` reads it.

    image_id is the number that a picture's file is named by (`000000000139.jpg`: 139), else the frame's index.
    category_id is the model's class_id; what it means stands in `NAME-categories.json`. Bodies are COCO's category 1
    with its 17 `keypoints` (x, y, score) of the 33, faces have all of theirs. `source`, `time_s` and what else is known
    of an object (`track_id`, a face's `pose` and `eyes`) stand beside them; so do the masks of instances, and of tracks
    of these, as `segmentation`.
    """

    name = "coco"

    path: Annotated[Path | str, Option("COCO results JSON", flags=("--coco",))]
    on: On = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where nothing in the plan has boxes."""
        on = self.boxes_in(plan)
        followed = next((getattr(one, "on", None) for one in plan if one.key == on), None)
        return _Coco(Path(self.path), on, _result(plan, on), followed)


class _Coco(TextLines):
    def __init__(self, path: Path, on: str, result: type, followed: str | None) -> None:
        super().__init__(path)
        self.file = TextFile(path, tail="\n]\n")
        self.on, self.needs, self.followed = on, frozenset((on,)), followed
        self.categories = path.with_name(f"{path.stem}-categories.json")
        self.paths = (path, self.categories)
        self.category = getattr(result, "coco", None)            # of points: the one that there is
        self.rows: tuple[int, ...] | None = getattr(result, "coco_rows", None)
        self._named = False

    def begin(self, info: Info) -> None:
        self.file.open(head="[")

    def take(self, item: Item) -> None:
        if self.on not in item:
            return
        if not self._named:
            named = [{"id": i, "name": name} for i, name in enumerate(item.names(self.on))]
            categories = [self.category] if self.category else named
            write_whole(self.categories, json.dumps({"categories": categories}, indent=1).encode())
            self._named = True
        file = Path(item.frame.source)
        numbered = file.stem.isdecimal() and file.suffix.lower() in PICTURE_SUFFIXES       # a film has many pictures
        where = {
            "image_id": int(file.stem) if numbered else item.frame.index,
            "source": item.frame.source,
            "time_s": item.record["time_s"],
        }
        objects = item.record[self.on]["objects"]
        masks = self._masks(item) or [{}] * len(objects)
        lines = [json.dumps(self._entry(one) | more | where) for one, more in zip(objects, masks, strict=True)]
        if lines:
            first = self.file.end == 1                   # nothing but the bracket
            self.file.append(("\n" if first else ",\n") + ",\n".join(lines))

    def _masks(self, item: Item) -> list[dict[str, Any]]:
        """The masks of instances, or of the tracks of instances; as run lengths, where records have outlines too."""
        result, followed = item[self.on], item.results.get(self.followed or "")
        of = followed if isinstance(result, Tracks) else result
        if not isinstance(of, Instances):
            return []
        rows = result.rows.tolist() if isinstance(result, Tracks) else range(len(of))
        return [{"segmentation": of.rle(row)} if 0 <= row < len(of) else {} for row in rows]

    def _entry(self, found: Mapping[str, Any]) -> dict[str, Any]:
        more = {"track_id" if key == "id" else key: value for key, value in found.items() if key not in _OWN}
        left, top, right, bottom = found["box"]
        score = found.get("score", 1.0)                  # of a face that is covered there is none
        if "points" in found:
            points = np.array(found["points"])
            points = points if self.rows is None else points[list(self.rows)]
            if points.shape[1] == 2:                     # all are equally sure
                points = np.pad(points, ((0, 0), (0, 1)), constant_values=score)
            more["keypoints"] = points.ravel().tolist()
        return {
            "category_id": self.category["id"] if self.category else found.get("class_id", 0),
            "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)], "score": score, **more,
        }


_OWN = frozenset(("label", "class_id", "box", "points", "score", "mask"))       # what COCO has a name of its own for


@spec
class YoloText(SinkSpec):
    """A folder with a text file a frame: `class x y width height`, the box's centre and size as parts of the
    frame's, 0 to 1, as trainers read it. A frame without objects has an empty file.

    Bodies and faces go on with `x y v` a point: v is 2 where it is seen, 1 where it is hidden and 0, with x and y,
    where it lies outside the frame. `data.yaml` beside the files names the classes, and the points' number.
    A picture's file has the picture's name, a video's `NAME-000012.txt`: see `FrameNames`.
    """

    name = "yolo"

    folder: Annotated[Path | str, Option("folder of YOLO text files, one for each frame", flags=("--yolo",))]
    scores: Annotated[bool, Option("at the end of a line the score, and a track's id")] = False
    on: On = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where nothing in the plan has boxes."""
        on = self.boxes_in(plan)
        return _Yolo(self, on, _result(plan, on))


class _Yolo(FolderSink):
    def __init__(self, spec: YoloText, on: str, result: type) -> None:
        super().__init__(Path(spec.folder), on)
        self.scores = spec.scores
        self._points = getattr(result, "_layout", {}).get("points", (None, ()))[1][1:2]
        self._mirrored = getattr(result, "mirrored", ())
        self._lost = [c for c in getattr(result, "columns", ()) if c != "points"]
        self._named = False

    def take(self, item: Item) -> None:
        name = self.names(item.frame.source, item.frame.index)
        if self.on not in item:
            return
        if not self._named:
            self._say_names(item.names(self.on))
        width, height = item.frame.size_wh
        lines = []
        for entry in item.record[self.on]["objects"]:
            left, top, right, bottom = np.clip(entry["box"], 0, [width, height] * 2).tolist()
            centre = (left + right) / 2 / width, (top + bottom) / 2 / height
            size = (right - left) / width, (bottom - top) / height
            cells = [str(entry.get("class_id", 0)), *(f"{v:.6f}" for v in (*centre, *size))]
            for x, y, *score in entry.get("points", ()):
                inside = 0 <= x <= width and 0 <= y <= height
                seen = 1 if score and score[0] < _SEEN else 2
                cells += [f"{x / width:.6f}", f"{y / height:.6f}", str(seen)] if inside else ["0", "0", "0"]
            if self.scores:
                cells += [f"{entry.get('score', 1.0):.4f}", *([str(entry["id"])] if "id" in entry else [])]
            lines.append(" ".join(cells) + "\n")
        self.folder.keep(f"{name}.txt", "".join(lines).encode())

    def _say_names(self, names: Names) -> None:
        """Write `data.yaml`: what a trainer needs to read the files, where the pictures lie beside them."""
        facts: dict[str, Any] = {"train": ".", "val": ".", "names": dict(enumerate(names))}
        if self._points:
            facts["kpt_shape"] = [*self._points, 3]
        if self._mirrored:
            facts["flip_idx"] = list(self._mirrored)
        text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
        write_whole(self.folder.folder / "data.yaml", text.encode())
        self._named = True

    @property
    def notes(self) -> Sequence[str]:
        """What of the results the files cannot hold."""
        lost = ", ".join(self._lost)
        return [f"YOLO text has no place for {lost}: --jsonl and --csv do."] if lost else []


_SEEN = 0.5                                              # a point's score from which it is seen, not hidden


def _result(plan: Sequence[Spec], key: str) -> type:
    """The type of the results under a key."""
    return next((one.result for one in plan if one.key == key), object)


@spec
class MotText(SinkSpec):
    """The tracks of one video as MOT Challenge text."""

    name = "mot"
    of = "track"

    path: Annotated[Path | str, Option("the tracks as MOT Challenge text", flags=("--mot",))]
    on: Annotated[str | None, Option("the step whose tracks are written, by its key")] = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where the plan has no tracks."""
        return _Mot(Path(self.path), self.key_in(plan))


class _Mot(TextLines):
    """MOT rows are written as they come: a file is one video's."""

    one_source = True

    def __init__(self, path: Path, on: str) -> None:
        super().__init__(path)
        self.on, self.needs, self._source = on, frozenset((on,)), ""

    def begin(self, info: Info) -> None:
        one_source("--mot", self._source, info)
        self._source = info.uri
        super().begin(info)

    def take(self, item: Item) -> None:
        from vision.tracking.mot import lines_of, track_rows

        if self.on in item:
            self.file.append(lines_of(track_rows(item[self.on], item.frame.index)))


def one_source(option: str, before: str, info: Info) -> None:
    """Raise SinkError where an output of one video is asked for a second one."""
    if before and before != info.uri:
        raise SinkError(f"{option} is of one video; {before!r} and {info.uri!r} are two.")
