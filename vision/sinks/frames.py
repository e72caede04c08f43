"""Pictures, one a frame: in a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cv2

from vision.errors import SinkError
from vision.files import make_folder, write_whole
from vision.io.pictures import PICTURE_SUFFIXES
from vision.sinks.base import Sink, SinkSpec
from vision.spec import Option, spec
from vision.state import State
from vision.types import Image

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec


FILMS = (".mp4", ".m4v", ".mov")       # what a film is written as
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
                 "placebo"]            # x264's
_FRAME = re.compile(r"(.+)-\d{6,}")     # a video's name and a frame's index


def either(suffixes: Sequence[str]) -> str:
    """Suffixes in words: `.mp4, .m4v or .mov`."""
    return f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"


class FrameNames:
    """File names for frames, without suffix, no two alike, in capitals or not: a picture's own (`IMAGE`), a video's
    with the index (`CLIP-000012`), and so an animation's after its first. Of two sources of the same name, from
    two folders, the second is `IMAGE-2`, `CLIP-2-000012`; so is a picture that is named as a video's frame."""

    def __init__(self) -> None:
        self._taken: set[str] = set()                    # without capitals
        self._numbered: set[str] = set()                 # those of them to which an index is added
        self._framed: set[str] = set()                   # that would have a frame of the name of a picture
        self._given: dict[str, tuple[str, int]] = {}     # a source: its name, and its first frame

    def __call__(self, source: str, index: int) -> str:
        """The name for the frame `index` of `source`."""
        picture = Path(source).suffix.lower() in PICTURE_SUFFIXES
        if source not in self._given:
            stem = Path(source).stem
            name = stem if picture else stem.strip("-") or "frame"
            self._given[source] = self._free(name, numbered=not picture), index
        name, first = self._given[source]
        if picture and index == first:
            return name
        if name.casefold() not in self._numbered:        # an animation's second frame
            name = self._counted(name)
            self._given[source] = name, first
        return f"{name}-{index:06d}"

    def _counted(self, name: str) -> str:
        """What an index is added to from now on: a picture's `name`, or a free one where a frame of it is another's."""
        if name.casefold() in self._framed:
            return self._free(name, numbered=True)
        self._numbered.add(name.casefold())
        return name

    def _free(self, name: str, *, numbered: bool) -> str:
        """`name`, or with a number behind it where it, or a frame of it, is another's."""
        given, count = name, 1
        while self._another(given.casefold(), numbered):
            count += 1
            given = f"{name}-{count}"
        self._taken.add(given.casefold())
        if numbered:
            self._numbered.add(given.casefold())
        elif frame := _FRAME.fullmatch(given.casefold()):
            self._framed.add(frame[1])
        return given

    def _another(self, name: str, numbered: bool) -> bool:
        if numbered:
            return name in self._taken or name in self._framed
        frame = _FRAME.fullmatch(name)
        return name in self._taken or (frame is not None and frame[1] in self._numbered)

    def again(self, source: str) -> None:
        """The source begins anew, with frames of the same indices: they get another name."""
        self._given.pop(source, None)

    def state(self) -> State:
        """The names that were given."""
        return {"taken": sorted(self._taken), "numbered": sorted(self._numbered), "framed": sorted(self._framed),
                "given": {k: list(v) for k, v in self._given.items()}}

    def restore(self, state: State) -> None:
        """Give the same names on."""
        self._taken, self._numbered, self._framed = (set(state[key]) for key in ("taken", "numbered", "framed"))
        self._given = {source: (name, first) for source, (name, first) in state["given"].items()}


def distinct(name: str, taken: set[str], tail: str = "") -> str:
    """`name` + `tail`, with a number between them where that is taken, in capitals or not; it is taken then."""
    given, count = f"{name}{tail}", 1
    while given.casefold() in taken:
        count += 1
        given = f"{name}-{count}{tail}"
    taken.add(given.casefold())
    return given


class ImageFolder:
    """A folder of pictures, or of other files for each frame, made when it is first needed. `files`: how many were
    written."""

    def __init__(self, folder: str | Path) -> None:
        self.folder, self.files = Path(folder), 0

    def make(self) -> None:
        """Make the folder, unless it is there. Raises SinkError."""
        make_folder(self.folder)

    def write(self, image: Image, name: str) -> None:
        """Write a picture (H,W,3) uint8 BGR; the name's suffix is the format (.png, .jpg, .webp, ...). Raises
        SinkError."""
        suffix = Path(name).suffix
        try:
            whole, data = cv2.imencode(suffix, image)
        except cv2.error:
            whole = False
        if not whole:
            raise SinkError(f"{suffix!r} is no picture format that can be written. Use .png or .jpg.")
        self.keep(name, data.tobytes())

    def keep(self, name: str, data: bytes) -> None:
        """Write a file. Raises SinkError."""
        write_whole(self.folder / Path(name).name, data)         # within it, whatever a source or a checkpoint calls it
        self.files += 1


def lacking_files(folder: Path, files: int) -> str:
    """Whether a folder holds fewer files than were written into it, in words; else empty."""
    there = sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
    return f"{str(folder)!r} holds {there} files, and {files} were written" if there < files else ""


@spec
class SaveFrames(SinkSpec):
    """A folder of annotated pictures, one for each frame; see `FrameNames` for their names."""

    name = "frames"

    folder: Annotated[Path | str, Option("folder of annotated pictures, one for each frame", flags=("--save-frames",))]

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run."""
        return _SaveFrames(Path(self.folder))


class FolderSink(Sink):
    """What sinks share that write files for each frame into a folder. on: the key whose results they need, if any."""

    def __init__(self, folder: Path, on: str = "") -> None:
        self.folder, self.on, self.names = ImageFolder(folder), on, FrameNames()
        self.paths, self.needs = (folder,), frozenset((on,) if on else ())

    def begin(self, info: Info) -> None:
        """Make the folder."""
        self.folder.make()
        if info.live:                                    # a camera that was lost is back, and counts from 0
            self.names.again(info.uri)

    def state(self) -> State:
        """The names that were given, and how many files there are."""
        return {"names": self.names.state(), "files": self.folder.files}

    def lacks(self, state: State) -> str:
        """Whether files are gone."""
        return lacking_files(self.folder.folder, state["files"])

    def restore(self, state: State) -> None:
        """Give the same names on."""
        self.names.restore(state["names"])
        self.folder.files = int(state["files"])


class _SaveFrames(FolderSink):
    def take(self, item: Item) -> None:
        self.folder.write(item.drawn, self.names(item.frame.source, item.frame.index) + ".png")
