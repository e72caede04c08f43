"""`vision track`: objects with ids that last; and `vision eval track`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision.cli.run import RunOptions, command, execute
from vision.errors import SinkError, UsageError

if TYPE_CHECKING:
    from vision.io import Source
    from vision.pipeline import Pending, Sink, Step
    from vision.tracking.stored import Stored
    from vision.types import Detections, Frame, Tracks

Method = Annotated[str, typer.Option("--tracker", help="default, sort, bytetrack or ocsort")]
LostAfter = Annotated[float, typer.Option(help="seconds unseen after which a track ends")]


@dataclass(frozen=True)
class Tracking:
    """How detections are found and tracked: the options that `track` and `count` share."""

    model: Annotated[str, typer.Option(
        help="a detector of `vision models`, or a path to weights")] = "default"
    min_score: Annotated[float | None, typer.Option(
        min=0, max=1, help="0..1; the model's own unless given. Weaker boxes may continue a track, "
                           "stronger ones begin one")] = None
    classes: Annotated[str | None, typer.Option(help="only these, by name: person,car")] = None
    stored: Annotated[Path | None, typer.Option(
        "--from", help="detections from a file: records (JSONL) or MOT text; no model is loaded")] = None
    save_detections: Annotated[Path | None, typer.Option(help="the detections as records, for --from")] = None
    tracker: Method = "default"
    lost_after: LostAfter = 1.5
    camera_motion: Annotated[bool, typer.Option(
        "--camera-motion", help="take the camera's own motion out (optical flow)")] = False
    looks: Annotated[str | None, typer.Option(
        help="a classifier of `vision models`: what it sees in the boxes helps to tell them apart")] = None
    rate: Annotated[float | None, typer.Option(
        help="frames a second of a folder of pictures, where no seqinfo.ini says it")] = None

    def execute(
        self, run: RunOptions, task: str, then: Callable[[Source], Callable[[Tracks, float], Any]],
        sinks: Callable[[Source, ExitStack], Iterable[Sink]],
        own: Sequence[Path | None] = (), lines: Sequence[Path | None] = (),
    ) -> None:
        """Run the tracker over every source; `then` is called anew for each one, and what it gives
        with each frame's tracks and their time. own, lines: paths of a command's own outputs, as in
        `vision.cli.run.execute`."""
        from vision.tracking import Tracker

        # an impossible option is told before a model loads
        Tracker(self.tracker, self.lost_after, 0.5 if self.min_score is None else self.min_score)
        one_source(run, "--save-detections", self.save_detections)
        begin, model, names, in_flight, decides, stored = self._detections(run)
        embed = _embedder(self.looks, run) if self.looks else None
        found: dict[int, Detections] = {}              # of frames that are under way, for `save`

        def make(source: Source) -> Step:
            from vision.pipeline import Step
            from vision.tracking.camera import CameraMotion
            from vision.tracking.looks import crops
            from vision.types import Detections

            tracker, after = Tracker(self.tracker, self.lost_after, decides), then(source)
            camera = CameraMotion() if self.camera_motion else None
            _times(source, self.rate)

            def step(frame: Frame, seen: Detections) -> Any:
                seen = Detections.from_dict(seen.to_dict())                # as precise as a record
                if self.save_detections is not None:
                    found[frame.index] = seen
                tracks = tracker(
                    seen, frame.time,
                    camera=camera(frame.image, seen.boxes) if camera else None,
                    looks=embed(crops(frame.image, seen.boxes)) if embed else None,
                )
                return after(tracks, frame.time)

            return Step(task, model, names, begin, step, in_flight)

        def extra(source: Source, stack: ExitStack) -> Iterable[Sink]:
            if self.save_detections is not None:
                yield _saver(self.save_detections, found, model, names, decides, stack)
            if stored is not None:
                yield _checker(run, stored, source, stack)
            yield from sinks(source, stack)

        execute(run, make, extra, own, (self.save_detections, *lines))

    def _detections(
        self, run: RunOptions
    ) -> tuple[Callable[[Sequence[Frame]], Pending], str, Sequence[str], int, float, Stored | None]:
        """What begins on frames, the model's name, its classes, how many it keeps busy with, and the
        score where it decides."""
        if self.stored is not None:
            from vision.tracking.stored import Stored

            if len(run.sources) > 1:
                raise UsageError(f"--from is of one video; got {len(run.sources)} sources.")
            file = Stored.read(self.stored)
            if self.classes is not None:
                file = file.only(self.classes.split(","))
            decides = _first(self.min_score, file.min_score, 0.5)

            def look_up(frames: Sequence[Frame]) -> Pending:
                return lambda: [file.at(f) for f in frames]

            return look_up, file.model, file.names, 1, decides, file
        from vision.pipeline import apply
        from vision.tasks.detect import Detector
        from vision.tracking import Tracker

        detector = Detector.load(self.model, run.device, run.precision, run.backend)
        decides = _first(self.min_score, detector.card.min_score)
        submit = partial(
            detector.submit, min_score=Tracker(self.tracker, min_score=decides).method.weak,
            classes=None if self.classes is None else self.classes.split(","),
        )
        submit([])
        begin = apply(detector, submit).begin
        return begin, detector.name, detector.names, detector.in_flight, decides, None


def _first(*values: float | None) -> float:
    """The first that is known."""
    return next(value for value in values if value is not None)


def one_source(run: RunOptions, option: str, path: Path | None) -> None:
    """A file of one video: not for several sources."""
    if path is not None and len(run.sources) > 1:
        raise UsageError(f"{option} is of one video; got {len(run.sources)} sources.")


def one_png(run: RunOptions, option: str, path: Path | None) -> None:
    """A picture of one video, which is made at the end: what can be told of it before is told before."""
    one_source(run, option, path)
    if path is not None and path.suffix.lower() != ".png":
        raise UsageError(f"{option} is a .png; got {str(path)!r}.")
    if path is not None and not path.absolute().parent.is_dir():
        raise SinkError(f"{str(path)!r} cannot be written: its folder is not there.")


def _times(source: Source, given: float | None) -> None:
    """Give pictures, which have no times of their own, `given` or their sequence's frames a second."""
    if source.info.kind == "list":
        raise UsageError(
            f"{source.info.uri!r} holds several videos, and each is tracked by itself: name them one by one."
        )
    if source.info.kind not in ("picture", "pictures"):
        return
    given = sequence_rate(source) if given is None else given
    if given is None:
        raise UsageError("pictures have no times, and tracking needs them. Give --rate, frames a second.")
    if not 0 < given < float("inf"):
        raise UsageError(f"--rate is more than 0 frames a second; got {given}.")
    source.at_rate(given)


def sequence_rate(source: Source) -> float | None:
    """Frames a second of a folder of pictures, by the `seqinfo.ini` in it or above it."""
    from vision.errors import DataError
    from vision.tracking.mot import Sequence as MotSequence

    for folder in (Path(source.info.uri), Path(source.info.uri).parent):
        try:
            return MotSequence.read(folder).rate
        except DataError:
            continue
    return None


def _embedder(model: str, run: RunOptions) -> Callable[[Sequence[Any]], Any]:
    import numpy as np

    from vision.tasks.classify import Classifier

    classifier = Classifier.load(model, run.device, run.precision, run.backend)

    def embed(pictures: Sequence[Any]) -> Any:
        scores = classifier.batch(pictures)
        probs = np.array([s.probs for s in scores], np.float32)
        return np.sqrt(probs.reshape(len(scores), len(classifier.names)))

    return embed


def _saver(
    path: Path, found: dict[int, Detections], model: str, names: Sequence[str], decides: float,
    stack: ExitStack,
) -> Sink:
    from vision.io import JsonLines
    from vision.records import record

    file = stack.enter_context(JsonLines(path))

    def write(item: Any) -> None:
        seen = found.pop(item.frame.index)
        file.write(record(item.frame, seen, task="detect", model=model, names=names, min_score=decides))

    return write


def _checker(run: RunOptions, stored: Stored, source: Source, stack: ExitStack) -> Sink:
    """After a whole video: does the file end where it does?"""
    last = -1

    def see(item: Any) -> None:
        nonlocal last
        last = item.frame.index

    def check(kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and run.end is None and run.max_frames is None and run.stride == 1:
            stored.check_length(last + 1)

    stack.push(check)
    return see


@command
def track(
    run: RunOptions,
    tracking: Tracking,
    mot: Annotated[Path | None, typer.Option(help="the tracks as MOT Challenge text")] = None,
) -> None:
    """Follow every object through a video, with an id that lasts."""
    one_source(run, "--mot", mot)

    def sinks(source: Source, stack: ExitStack) -> Iterable[Sink]:
        if mot is not None:
            yield _mot_writer(mot, stack)

    tracking.execute(run, "track", lambda source: lambda tracks, time: tracks, sinks, (mot,))


def _mot_writer(path: Path, stack: ExitStack) -> Sink:
    import numpy as np

    from vision.tracking.mot import track_rows, write_rows

    rows = [np.empty((0, 7))]
    write_rows(path, rows[0])                          # whether it can be written is told now

    def finish(*_: object) -> None:
        write_rows(path, np.concatenate(rows))

    stack.callback(finish)
    return lambda item: rows.append(track_rows(item.result, item.frame.index))


def evaluate(
    truth: Annotated[list[Path], typer.Argument(help="MOT folders, each with gt/gt.txt and seqinfo.ini")],
    results: Annotated[Path | None, typer.Option(
        help="folder of SEQUENCE.txt; without it the tracker runs on each folder's det/det.txt")] = None,
    tracker: Method = "default",
    lost_after: LostAfter = 1.5,
    report: Annotated[Path | None, typer.Option(help="the figures as JSON")] = None,
) -> None:
    """HOTA, MOTA, IDF1 and id switches of tracks, by trackeval."""
    import json
    from tempfile import TemporaryDirectory

    import numpy as np

    from vision.metrics.tracking import evaluate as score
    from vision.tracking import Tracker
    from vision.tracking.mot import Sequence as MotSequence
    from vision.tracking.mot import track_rows, write_rows

    sequences = [MotSequence.read(folder) for folder in truth]
    with TemporaryDirectory() as folder:
        files = {s.name: (results or Path(folder)) / f"{s.name}.txt" for s in sequences}
        if results is None:
            for sequence in sequences:
                follow = Tracker(tracker, lost_after)
                frames = enumerate(sequence.detections())
                rows = [track_rows(follow(seen, time), index) for index, (time, seen) in frames]
                write_rows(files[sequence.name], np.concatenate([np.empty((0, 7)), *rows]))
        table = score(
            {s.name: s.folder / "gt" / "gt.txt" for s in sequences}, files,
            {s.name: s.length for s in sequences},
        )
    print(f"{'':16s}   HOTA   DetA   AssA   MOTA   IDF1  switches  misses  false")
    for name, row in table.items():
        shares = (row.hota, row.det_a, row.ass_a, row.mota, row.idf1)
        print(f"{name:16s} " + " ".join(f"{100 * share:6.1f}" for share in shares)
              + f"  {row.switches:8d}  {row.misses:6d}  {row.false_positives:5d}")
    if report is not None:
        report.write_text(json.dumps({name: asdict(row) for name, row in table.items()}, indent=1) + "\n",
                          encoding="utf-8")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("track")(track)
