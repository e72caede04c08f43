"""Annotated films and pictures: one for each source."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vision.errors import UsageError
from vision.files import make_folder
from vision.io.listing import VIDEO_SUFFIXES
from vision.io.pictures import PICTURE_SUFFIXES, WRITABLE_SUFFIXES
from vision.sinks.base import Sink, SinkSpec
from vision.sinks.frames import FILMS, FrameNames, ImageFolder, Preset, distinct, either, lacking_files
from vision.sinks.mcap import SUFFIX as MCAP
from vision.sinks.mcap import Mcap
from vision.spec import Option, spec
from vision.state import State

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.sinks.film import VideoWriter
    from vision.steps.base import Spec

_TABLES = (".json", ".jsonl", ".csv", ".txt")


@spec
class VideoFile(SinkSpec):
    """The annotated film, with the source's times and sound: H.264 in mp4 that a browser plays.

    A picture's name (.png, .jpg, ...) takes a picture, an MCAP file's (.mcap) what `Mcap` writes. Any other name is a
    folder: for each source a film in it, or its pictures, under its name and the last task's (`clip-track.mp4`).
    """

    name = "video"

    path: Annotated[Path | str, Option(
        "annotated video or picture; a folder for several sources", flags=("-o", "--output"))]
    audio: Annotated[bool, Option("copy the source's sound", flags=("--audio/--no-audio",))] = True
    crf: Annotated[int, Option("x264's quality: 0 is the best, 51 the smallest", min=0, max=51)] = 23
    preset: Annotated[Preset, Option("x264's trade of time for size")] = "ultrafast"

    @property
    def mcap(self) -> Mcap | None:
        """What writes it where its name is that of an MCAP file."""
        if Path(self.path).suffix.lower() != MCAP or Path(self.path).is_dir():
            return None
        return Mcap(self.path, crf=self.crf, preset=self.preset)

    @property
    def not_resumed(self) -> str:
        """Why it cannot be resumed: as an MCAP file."""
        return "" if self.mcap is None else self.mcap.not_resumed

    def check(self) -> None:
        """Raise UsageError for the name of a file that it does not write, MissingExtra for an MCAP file without the
        packages for it."""
        path = Path(self.path)
        suffix = path.suffix.lower()
        if self.mcap is not None:
            self.mcap.check()
        elif path.is_dir() or suffix in (*FILMS, *WRITABLE_SUFFIXES):
            return
        elif suffix in VIDEO_SUFFIXES:
            raise UsageError(f"a film is written as {either(FILMS)}; got {str(path)!r}. Give {path.stem}.mp4, or a "
                             "folder.")
        elif suffix in PICTURE_SUFFIXES:
            raise UsageError(f"a picture is written as {either(sorted(WRITABLE_SUFFIXES))}; got {str(path)!r}.")
        elif suffix in _TABLES:
            raise UsageError(f"-o is for what is drawn; got {str(path)!r}. Records are --jsonl FILE, rows --csv FILE.")

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run."""
        if self.mcap is not None:
            return self.mcap.open(plan)
        return _VideoFile(self, plan[-1].task if plan else "video")


class _VideoFile(Sink):
    def __init__(self, spec: VideoFile, task: str) -> None:
        self.spec, self.task = spec, task
        self.folder = Path(spec.path).suffix.lower() not in (*WRITABLE_SUFFIXES, *FILMS) or Path(spec.path).is_dir()
        self.one_source = not self.folder
        self.paths = () if self.folder else (Path(spec.path),)
        self._names: set[str] = set()                    # given to films and pictures of this run
        self._made: list[Path] = []
        self._sources: list[str] = []                    # that have begun
        self._notes: list[str] = []
        self._planned: tuple[str, Path] | None = None    # a source, and where it goes
        self._film: VideoWriter | None = None
        self._finished: VideoWriter | None = None
        self._pictures: tuple[ImageFolder, FrameNames | str] | None = None
        self._restored: State | None = None

    def apart(self) -> Sink:
        """One that shares the names that were given, and what was made."""
        return copy(self)

    def targets(self, info: Info) -> tuple[Path, ...]:
        """The film with the names under which it grows, the picture, or the folder of pictures."""
        from vision.sinks.film import working

        path = self._path(info)
        return tuple(dict.fromkeys((path, *working(path)))) if path.suffix.lower() in FILMS else (path,)

    def begin(self, info: Info) -> None:
        """Open this source's film or picture. Raises SinkError, and UsageError for a second source where `path`
        is one file."""
        from vision.sinks.film import VideoWriter

        path = self._path(info)
        self._planned = None
        self._sources.append(info.uri)
        if path.suffix.lower() in FILMS:
            if self.folder:
                make_folder(path.parent)
            sound = (self.address or info.uri) if self.spec.audio and info.audio and info.whole else None
            cut = self.spec.audio and info.audio and not info.whole and info.kind == "video"
            self._notes = [f"{str(path)!r} is without the sound: it is of a part of the film"] if cut else []
            self._film = VideoWriter(path, audio_from=sound, origin=info.start or 0.0, crf=self.spec.crf,
                                     preset=self.spec.preset)
            if self._restored and self._restored["film"] is not None:
                self._film.restore(self._restored["film"])
        elif path.suffix.lower() in WRITABLE_SUFFIXES:
            self._pictures = ImageFolder(path.parent), path.name
        else:
            names, folder = FrameNames(), ImageFolder(path)
            if self._restored and self._restored["pictures"]:
                names.restore(self._restored["pictures"])
                folder.files = int(self._restored["files"])
            self._pictures = folder, names
        if self._pictures is not None:
            self._pictures[0].make()
        self._restored = None
        if path in self._made:
            self._made.remove(path)
        self._made.append(path)                          # in place: it may be shared

    def _path(self, info: Info) -> Path:
        """Where the annotated film or picture of a source goes."""
        if self._planned is not None and self._planned[0] == info.uri:
            return self._planned[1]
        if self._restored and self._restored["current"]:
            return Path(self._restored["current"])
        path, still = Path(self.spec.path), info.kind in ("picture", "pictures")
        if not self.folder:
            if self._sources:
                raise UsageError(f"several sources need a folder for -o; got {str(path)!r}")
            if path.suffix.lower() in WRITABLE_SUFFIXES and info.whole and (info.frames_estimate or 0) > 1 and still:
                raise self._several()
            if path.suffix.lower() in WRITABLE_SUFFIXES and not still:
                raise UsageError(f"{str(path)!r} is a picture, the source a {info.kind}. Give an .mp4.")
        else:
            stem = re.sub(r"[*?\[\]]", "", Path(info.uri.rstrip("/")).stem).strip("-") or "stream"
            suffix = "" if info.kind == "pictures" else ".png" if still else ".mp4"
            path = path / distinct(stem, self._names, f"-{self.task}{suffix}")
        self._planned = info.uri, path
        return path

    def _several(self) -> UsageError:
        return UsageError(f"several pictures need a folder for -o; got {str(self.spec.path)!r}")

    def take(self, item: Item) -> None:
        """Draw and write a frame. Raises UsageError for a second picture where `path` is one."""
        if self._film is not None:
            self._film.write(item.drawn, item.frame.time)
        elif self._pictures is not None:
            folder, names = self._pictures
            if isinstance(names, str) and folder.files:
                raise self._several()
            named = names if isinstance(names, str) else names(item.frame.source, item.frame.index) + ".png"
            folder.write(item.drawn, named)

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        """Finish this source's film; after an error it stays where it grew."""
        film, self._film, self._pictures, self._finished = self._film, None, None, None
        if film is not None and complete:
            film.close()
            self._finished = film
        elif film is not None:
            film.abandon()
            self._made += film.parts

    @property
    def notes(self) -> Sequence[str]:
        """What became of the film's sound."""
        return [*self._notes, *(self._finished.notes if self._finished is not None else ())]

    def forget(self) -> None:
        """The film is in its place: its parts go."""
        if self._finished is not None:
            self._finished.forget()

    def close(self) -> None:
        """Leave a film that is still open where it grew."""
        self.end({}, False)

    @property
    def written(self) -> list[Path]:
        """The films, pictures and folders."""
        return [path for path in self._made if path.exists()]

    def state(self) -> State | None:
        """The names that were given, and the film's parts; pictures in a folder are written anew."""
        names = self._pictures[1] if self._pictures else None
        under_way = self._film is not None or self._pictures is not None
        return {
            "names": sorted(self._names), "sources": self._sources, "made": [str(path) for path in self._made],
            "current": str(self._made[-1]) if under_way else None,
            "film": None if self._film is None else self._film.state(),
            "pictures": names.state() if isinstance(names, FrameNames) else None,
            "files": self._pictures[0].files if self._pictures else 0,
        }

    def lacks(self, state: State) -> str:
        """Whether a part of the film is another one, or pictures are gone."""
        from vision.sinks.film import lacking_part

        if state["film"] is not None:
            return lacking_part(Path(state["current"]), state["film"])
        return lacking_files(Path(state["current"]), state["files"]) if state["pictures"] else ""

    def restore(self, state: State) -> None:
        """Go on with this source's film."""
        self._restored = state
        self._names, self._sources = set(state["names"]), list(state["sources"])
        self._made = [Path(path) for path in state["made"]]
