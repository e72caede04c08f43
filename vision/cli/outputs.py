"""The outputs that a run's options ask for, as sinks of the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.errors import UsageError

if TYPE_CHECKING:
    from vision.cli.run import RunOptions
    from vision.io import Info, Source
    from vision.pipeline import Sink

_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def record_sinks(run: RunOptions, stack: ExitStack) -> tuple[list[Sink], list[Path]]:
    """The sinks of records, which last over all sources, and where they write."""
    from vision.io import CocoResults, Csv, JsonLines, YoloTxt, refuse_overwrite

    asked = [p for p in (run.jsonl, run.csv, run.coco, run.yolo) if p is not None and str(p) != "-"]
    for path in asked:                          # before one is opened, which would empty it
        for uri in run.sources:
            refuse_overwrite(path, uri)
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
    return sinks, asked


def _of_record(write: Callable[[dict[str, Any]], None]) -> Sink:
    return lambda item: write(item.record)


def picture_sinks(
    run: RunOptions, source: Source, default: str, stack: ExitStack
) -> tuple[list[Sink], list[Path]]:
    """The sinks of pictures of one source, and where they write.

    default: what the annotated file's name ends with where no output was asked for at all.
    """
    from vision.io import ContactSheet, FrameNames, ImageFolder, VideoFile, refuse_overwrite

    sinks: list[Sink] = []
    written: list[Path] = []
    names = FrameNames()

    def save_to(folder: ImageFolder) -> Sink:
        return lambda item: folder.write(item.drawn, names(item.frame.source, item.frame.index) + ".png")

    target = annotated(run, source.info, default)
    if target is not None:
        refuse_overwrite(target, source.info.uri)
        if target.suffix.lower() in _PICTURE_SUFFIXES and source.info.kind not in ("picture", "pictures"):
            raise UsageError(f"{str(target)!r} is a picture, the source a {source.info.kind}. Give an .mp4.")
        if target.suffix.lower() in _PICTURE_SUFFIXES:
            folder = stack.enter_context(ImageFolder(target.parent))
            sinks.append(lambda item: folder.write(item.drawn, target.name))
        elif target.suffix == "":
            sinks.append(save_to(stack.enter_context(ImageFolder(target))))
        else:
            whole = run.start is None and run.end is None and run.max_frames is None
            video = stack.enter_context(VideoFile(
                target, audio_from=source.info.uri if run.audio and whole and source.info.audio else None,
                origin=run.start or 0.0,
            ))
            sinks.append(lambda item: video.write(item.drawn, item.frame.time))
        written.append(target)
    if run.save_frames is not None:
        refuse_overwrite(run.save_frames, source.info.uri)
        sinks.append(save_to(stack.enter_context(ImageFolder(run.save_frames))))
        written.append(run.save_frames)
    if run.sheet is not None:
        refuse_overwrite(run.sheet, source.info.uri)
        sheet = stack.enter_context(ContactSheet(run.sheet))
        sinks.append(lambda item: sheet.write(item.drawn, item.frame.time))
        written.append(run.sheet)
    return sinks, written


def annotated(run: RunOptions, info: Info, default: str) -> Path | None:
    """Where the annotated video or picture goes, if one is wanted.

    `-o` names it; for several sources, or where it is a folder, it holds a file for each. With no
    output asked for at all, it lies beside you: `clip.mp4` makes `clip-detect.mp4`.
    """
    pictures = info.kind in ("picture", "pictures")
    stem = Path(info.uri.rstrip("/")).stem or "stream"
    own = f"{stem}-{default}" + ("" if info.kind == "pictures" else ".png" if pictures else ".mp4")
    if run.output is None:
        asked = (run.jsonl, run.csv, run.coco, run.yolo, run.save_frames, run.sheet)
        return None if run.show or any(p is not None for p in asked) else Path(own)
    if len(run.sources) > 1 or run.output.is_dir():
        if run.output.suffix:
            raise UsageError(f"{len(run.sources)} sources need a folder for -o; got {str(run.output)!r}")
        run.output.mkdir(parents=True, exist_ok=True)
        return run.output / own
    return run.output
