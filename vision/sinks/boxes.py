"""Boxes in the layouts of others: COCO results, YOLO text files, MOT Challenge text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vision.errors import SinkError
from vision.files import make_folder, write_whole
from vision.sinks.base import Sink, SinkSpec
from vision.sinks.frames import FrameNames
from vision.sinks.text import TextFile, TextLines
from vision.spec import Option, spec
from vision.state import State

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec

On = Annotated[str | None, Option("the step whose boxes are written, by its key; the last with boxes unless given")]


@spec
class CocoResults(SinkSpec):
    """COCO's results: a JSON list with `image_id`, `category_id`, `bbox` (left, top, width, height in pixels) and
    `score` an object, whole after every frame.

    image_id is the number that a picture's file is named by (`000000000139.jpg`: 139), else the frame's index.
    category_id is the model's class_id. `source` and `time_s` stand beside them.
    """

    name = "coco"

    path: Annotated[Path | str, Option("COCO results JSON", flags=("--coco",))]
    on: On = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where nothing in the plan has boxes."""
        return _Coco(Path(self.path), self.on or self.boxes_in(plan))


class _Coco(TextLines):
    def __init__(self, path: Path, on: str) -> None:
        super().__init__(path)
        self.file = TextFile(path, tail="\n]\n")
        self.on, self.needs = on, frozenset((on,))

    def begin(self, info: Info) -> None:
        self.file.open(head="[")

    def take(self, item: Item) -> None:
        if self.on not in item:
            return
        stem = Path(item.frame.source).stem
        image_id = int(stem) if stem.isdecimal() else item.frame.index
        lines = []
        for entry in item.record[self.on]["objects"]:
            left, top, right, bottom = entry["box"]
            lines.append(json.dumps({
                "image_id": image_id,
                "category_id": entry["class_id"],
                "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
                "score": entry["score"],
                "source": item.frame.source,
                "time_s": item.record["time_s"],
            }))                                                                     # fmt: skip
        if lines:
            first = self.file.end == 1                   # nothing but the bracket
            self.file.append(("\n" if first else ",\n") + ",\n".join(lines))


@spec
class YoloText(SinkSpec):
    """A folder with a text file a frame: `class x y width height`, the box's centre and size as parts of the
    frame's, 0 to 1, as trainers read it. A frame without objects has an empty file.

    A picture's file has the picture's name, a video's `NAME-000012.txt`: see `FrameNames`.
    """

    name = "yolo"

    folder: Annotated[Path | str, Option("folder of YOLO text files, one for each frame", flags=("--yolo",))]
    scores: Annotated[bool, Option("a sixth column with the score, and a seventh with a track's id")] = False
    on: On = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where nothing in the plan has boxes."""
        return _Yolo(self, self.on or self.boxes_in(plan))


class _Yolo(Sink):
    def __init__(self, spec: YoloText, on: str) -> None:
        self.folder, self.scores, self.on = Path(spec.folder), spec.scores, on
        self.paths, self.needs, self.names = (Path(spec.folder),), frozenset((on,)), FrameNames()

    def begin(self, info: Info) -> None:
        make_folder(self.folder)

    def take(self, item: Item) -> None:
        name = self.names(item.frame.source, item.frame.index)
        if self.on not in item:
            return
        width, height = item.frame.size_wh
        lines = []
        for entry in item.record[self.on]["objects"]:
            left, top, right, bottom = entry["box"]
            centre = (left + right) / 2 / width, (top + bottom) / 2 / height
            size = (right - left) / width, (bottom - top) / height
            cells = [str(entry["class_id"]), *(f"{v:.6f}" for v in (*centre, *size))]
            if self.scores:
                cells += [f"{entry['score']:.4f}", *([str(entry["id"])] if "id" in entry else [])]
            lines.append(" ".join(cells) + "\n")
        write_whole(self.folder / f"{name}.txt", "".join(lines).encode())

    def state(self) -> State:
        return {"names": self.names.state()}

    def restore(self, state: State) -> None:
        self.names.restore(state["names"])


@spec
class MotText(SinkSpec):
    """The tracks of one video as MOT Challenge text."""

    name = "mot"
    of = "track"

    path: Annotated[Path | str, Option("the tracks as MOT Challenge text", flags=("--mot",))]
    on: Annotated[str | None, Option("the step whose tracks are written, by its key")] = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where the plan has no tracks."""
        return _Mot(Path(self.path), self.on or self.key_in(plan))


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
