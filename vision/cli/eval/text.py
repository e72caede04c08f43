"""`vision eval text`: word accuracy, character errors, and how well words are found in photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision.cli.eval.common import results, write
from vision.cli.options import EvalOptions, opened
from vision.cli.run.progress import progress
from vision.cli.text import counted
from vision.errors import DataError
from vision.report import Report

if TYPE_CHECKING:
    from vision.data.words import Words
    from vision.text.reader import TextReader
    from vision.types import Image


@opened
def text(
    options: EvalOptions,
    data: Annotated[Path, typer.Option(
        help="folder of word crops (words.csv, ICDAR's gt.txt), of photographs (scenes.json, gt_*.txt), or of both")],
    detector: Annotated[str, typer.Option(help="the model that finds text")] = "default",
    alphabet: Annotated[str | None, typer.Option(
        help="the characters that may be read: latin, capitals, digits, or themselves")] = None,
    lexicon: Annotated[Path | None, typer.Option(help="file of likely words, one a line")] = None,
    fold: Annotated[int | None, typer.Option(
        min=0, help="only the crops that `vision train text --fold` of this number holds out")] = None,
    folds: Annotated[int, typer.Option(min=2, help="of so many")] = 3,
    min_score: Annotated[float | None, typer.Option(min=0, max=1, help="of a place where text is")] = None,
    min_text: Annotated[float | None, typer.Option(min=0, max=1, help="of what is read")] = None,
) -> None:
    """Word accuracy and character error rate on crops; on photographs how words are found (ICDAR 2015, IoU above 0.5),
    and how they are found and read."""
    from vision.data.scenes import find_scenes, has_scenes
    from vision.data.words import find_words, has_words, read_lexicon
    from vision.text.reader import TextReader

    crops = find_words(data) if has_words(data) else None
    if crops is not None and fold is not None:
        crops = crops.fold(fold, folds)[1]
    with_scenes = fold is None and (has_scenes(data) or (data.suffix == ".json" and data.is_file()))
    scenes = find_scenes(data) if with_scenes else []
    if crops is None and not scenes:
        raise DataError(f"{str(data)!r} has neither crops (words.csv, gt.txt) nor photographs (scenes.json, gt_*.txt).")
    how: dict[str, Any] = {"alphabet": alphabet, "lexicon": None if lexicon is None else read_lexicon(lexicon)}
    figures: dict[str, Any] = {}
    with TextReader.load(*options.where, detector=detector) as reader:
        reader.characters(alphabet)
        if crops is not None:
            figures |= _crops(reader, crops, how, options.quiet)
        if scenes:
            submit = partial(reader.submit, min_score=min_score, min_text=min_text, **how)
            figures |= _scenes(reader, scenes, submit, options.quiet)
        write(options, reader, figures)


def _crops(reader: TextReader, crops: Words, how: dict[str, Any], quiet: bool) -> dict[str, float]:
    from vision.metrics.text import read_figures

    report = Report(reader.name)
    read = []
    with progress(reader.name, quiet=quiet) as update:
        for reading in reader.words(_pictures(crops.paths), **how):
            read.append(reading.text)
            report.inferred += 1
            update(report, report.inferred / len(crops))
    found = read_figures(read, crops.texts)
    print(f"{reader.name} ({reader.engine.label}): {counted(found.words, 'word crop')}")
    if crops.skipped:
        print(f"lines without a picture, left out: {crops.skipped}")
    print(f"word accuracy {found.accuracy:.4f}  with case {found.accuracy_cased:.4f}  CER {found.cer:.4f}")
    return {"word_accuracy": found.accuracy, "word_accuracy_cased": found.accuracy_cased, "cer": found.cer}


def _scenes(reader: TextReader, scenes: Sequence[Any], submit: Any, quiet: bool) -> dict[str, dict[str, float]]:
    from vision.metrics.text import Icdar

    metric = Icdar()
    found = results([scene.path for scene in scenes], reader, quiet, submit)
    for scene, texts in zip(scenes, found, strict=True):
        metric.add(texts.quads, texts.texts.tolist(), scene.words)
    print(f"{reader.detector.name} ({reader.detector.engine.label}): {counted(len(scenes), 'photograph')}, "
          f"{counted(metric.there, 'word')} to be found")
    figures = {"detection": metric.detection, "end_to_end": metric.end_to_end}
    for name, of in figures.items():
        print(f"{name.replace('_', ' '):<10} precision {of.precision:.4f}  recall {of.recall:.4f}  "
              f"Hmean {of.hmean:.4f}")
    return {name: of._asdict() for name, of in figures.items()}


def _pictures(paths: Sequence[Path]) -> Iterator[Image]:
    from vision.io.pictures import decode_picture

    return (decode_picture(path.read_bytes(), str(path)) for path in paths)
