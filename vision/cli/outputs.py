"""The outputs that a run's options ask for, as sinks of the pipeline."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.errors import UsageError
from vision.files import check_writable, make_folder

if TYPE_CHECKING:
    from vision.cli.run import RunOptions
    from vision.io import ContactSheet, Info, Source
    from vision.pipeline import Sink

_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


class Outputs:
    """The outputs of a run over all its sources: none is in place of a source, and none of another.

    stack: closes at the end of the run what all sources share. own: paths of a command's own outputs;
    lines: of those that may be standard output. Raises UsageError and SinkError before anything is opened.
    """

    def __init__(
        self, run: RunOptions, stack: ExitStack, own: Sequence[Path | None] = (),
        lines: Sequence[Path | None] = (),
    ) -> None:
        from vision.io import FrameNames, Inputs

        self._run, self._stack = run, stack
        self._inputs = Inputs(run.sources)
        self._names: set[str] = set()                    # given to annotated videos, pictures and folders
        self._frames = FrameNames()                      # of --save-frames
        self._records: tuple[list[Sink], list[Path]] | None = None
        self._sheet: ContactSheet | None = None
        self.own = [path for path in (*own, *lines) if path is not None]
        streams = [run.jsonl, run.csv, *lines]
        files = [run.coco, run.save_frames, run.sheet, run.report, *own]
        _once([run.output, *streams, *files])
        for path in (run.output, run.yolo, *files):
            if path is not None and str(path) == "-":
                raise UsageError("only --jsonl and --csv go to standard output (-). Name a file or a folder.")
        for path in (run.yolo, *streams, *files):
            if path is not None and str(path) != "-":
                self._inputs.refuse(path)
        if run.report is not None:
            check_writable(run.report)

    def records(self) -> tuple[list[Sink], list[Path]]:
        """The sinks of records, which last over all sources, and where they write; opened with the
        first source."""
        if self._records is None:
            self._records = self._open_records()
        return self._records

    def _open_records(self) -> tuple[list[Sink], list[Path]]:
        from vision.io import CocoResults, Csv, JsonLines, YoloTxt

        run, stack = self._run, self._stack
        sinks: list[Sink] = []
        if run.jsonl is not None:
            sinks.append(_of_record(stack.enter_context(JsonLines(run.jsonl)).write))
        if run.csv is not None:
            sinks.append(_of_record(stack.enter_context(Csv(run.csv)).write))
        if run.coco is not None:
            sinks.append(_of_record(stack.enter_context(CocoResults(run.coco)).write))
        if run.yolo is not None:
            yolo = stack.enter_context(YoloTxt(run.yolo))
            sinks.append(lambda item: yolo.write(item.record, item.frame.size_wh))
        asked = (run.jsonl, run.csv, run.coco, run.yolo)
        return sinks, [p for p in asked if p is not None and str(p) != "-"]

    def pictures(self, source: Source, default: str, stack: ExitStack) -> tuple[list[Sink], list[Path]]:
        """The sinks of pictures of one source, and where they write.

        default: what the annotated file's name ends with where no output was asked for at all. stack:
        closes what belongs to this source alone.
        """
        from vision.io import ContactSheet, FrameNames, ImageFolder, VideoFile

        run = self._run
        sinks: list[Sink] = []
        written: list[Path] = []

        def save_to(folder: ImageFolder, names: FrameNames) -> Sink:
            return lambda item: folder.write(item.drawn, names(item.frame.source, item.frame.index) + ".png")

        target = self._annotated(source.info, default)
        if target is not None:
            self._inputs.refuse(target)
            still = source.info.kind in ("picture", "pictures")
            if target.suffix.lower() in _PICTURE_SUFFIXES and not still:
                raise UsageError(
                    f"{str(target)!r} is a picture, the source a {source.info.kind}. Give an .mp4."
                )
            if target.suffix.lower() in _PICTURE_SUFFIXES:
                folder = stack.enter_context(ImageFolder(target.parent))
                sinks.append(lambda item: folder.write(item.drawn, target.name))
            elif target.suffix == "":
                sinks.append(save_to(stack.enter_context(ImageFolder(target)), FrameNames()))
            else:
                whole = run.start is None and run.end is None and run.max_frames is None
                video = stack.enter_context(VideoFile(
                    target, audio_from=source.info.uri if run.audio and whole and source.info.audio else None,
                    origin=run.start or 0.0,
                ))
                sinks.append(lambda item: video.write(item.drawn, item.frame.time))
            written.append(target)
        if run.save_frames is not None:
            sinks.append(save_to(stack.enter_context(ImageFolder(run.save_frames)), self._frames))
            written.append(run.save_frames)
        if run.sheet is not None:
            sheet = self._sheet = self._sheet or ContactSheet(run.sheet)
            stack.callback(sheet.close)                  # written anew after each source
            sinks.append(lambda item: sheet.write(item.drawn, item.frame.time))
            written.append(run.sheet)
        return sinks, written

    def _annotated(self, info: Info, default: str) -> Path | None:
        """Where the annotated video or picture goes, if one is wanted.

        `-o` names it; for several sources, or where it is a folder, it holds a file for each. With no
        output asked for at all, it lies beside you: `clip.mp4` makes `clip-detect.mp4`, and a second
        `clip.mp4` of the run `clip-2-detect.mp4`.
        """
        run, pictures = self._run, info.kind in ("picture", "pictures")
        if run.output is None:
            asked = (run.jsonl, run.csv, run.coco, run.yolo, run.save_frames, run.sheet)
            if run.show or any(p is not None for p in asked):
                return None
            folder = Path()
        elif len(run.sources) > 1 or run.output.is_dir():
            if run.output.suffix and not run.output.is_dir():
                raise UsageError(f"{len(run.sources)} sources need a folder for -o; got {str(run.output)!r}")
            make_folder(run.output)
            folder = run.output
        else:
            return run.output
        from vision.io.images import distinct

        stem = re.sub(r"[*?\[\]]", "", Path(info.uri.rstrip("/")).stem).strip("-") or "stream"
        suffix = "" if info.kind == "pictures" else ".png" if pictures else ".mp4"
        return folder / distinct(stem, self._names, f"-{default}{suffix}")


def _of_record(write: Callable[[dict[str, Any]], None]) -> Sink:
    return lambda item: write(item.record)


def _once(paths: Iterable[Path | None]) -> None:
    """Raise UsageError where a file or a folder is asked for twice."""
    seen: set[str] = set()
    for path in paths:
        if path is None or (path.exists() and not (path.is_file() or path.is_dir())):     # /dev/null
            continue
        name = "-" if str(path) == "-" else os.path.realpath(path)
        if name in seen:
            raise UsageError(f"{str(path)!r} is given for two outputs. Give each its own.")
        seen.add(name)
