"""`vision action`: what is done in a video, when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision.cli.run import RunOptions, command, execute
from vision.errors import UsageError
from vision.files import check_writable

if TYPE_CHECKING:
    from vision.io import Info, Source
    from vision.pipeline import Item, Pending, Sink, Step
    from vision.tasks.action import Recognizer
    from vision.tasks.action_stream import Stream, Window
    from vision.types import Action, Frame

    _Video = tuple[str, Stream]


@command
def action(
    run: RunOptions,
    model: Annotated[str, typer.Option(help="a name of `vision models`, or a path to weights")] = "default",
    min_score: Annotated[float | None, typer.Option(
        min=0, max=1, help="an action begins at this score; the model's own unless given")] = None,
    every: Annotated[float, typer.Option(min=0.01, help="seconds from one window to the next")] = 0.32,
    smoothing: Annotated[float, typer.Option(min=0, help="seconds of averaging over windows")] = 0.3,
    segments: Annotated[Path | None, typer.Option(
        help="what was done from when to when: .jsonl, .csv or .ass (subtitles)")] = None,
    timeline: Annotated[Path | None, typer.Option(help="the segments as a picture (PNG)")] = None,
    features: Annotated[str | None, typer.Option(
        help="write the videos' descriptors instead, into -o FILE.npz: fc6 or pool5 of C3D, pool of others",
    )] = None,
) -> None:
    """Recognise actions on videos, cameras and streams: a sliding window, and segments."""
    from vision.io import Inputs
    from vision.io.segments import FORMATS
    from vision.tasks.action import Recognizer

    if segments is not None and segments.suffix.lower() not in FORMATS:
        raise UsageError(f"segments are written as {', '.join(FORMATS)}; got {str(segments)!r}")
    of_one = timeline or (segments and segments.suffix.lower() == ".ass")
    if len(run.sources) > 1 and of_one:
        raise UsageError(f"a timeline and subtitles are of one video; got {len(run.sources)} sources")
    if timeline is not None and timeline.suffix.lower() != ".png":
        raise UsageError(f"a timeline is a .png; got {str(timeline)!r}")
    for path in (segments, timeline, run.output if features is not None else None):
        if path is not None:                           # written at the end, told now
            Inputs(run.sources).refuse(path)
            check_writable(path)
    recognizer = Recognizer.load(model, run.device, run.precision, run.backend)
    if features is not None:
        _write_features(recognizer, features, run)
        return
    outputs = _Outputs(recognizer, segments, timeline)

    def make(source: Source) -> Step:
        from vision.pipeline import Step

        if source.info.kind == "list" and of_one:
            raise UsageError(
                f"a timeline and subtitles are of one video: name it in place of {source.info.uri!r}"
            )
        begin = partial(recognizer.stream, every, smoothing, min_score)
        streams = outputs.streams = _Streams(begin, len(recognizer.names), source.info, outputs.take)
        return Step(
            recognizer.task, recognizer.name, recognizer.names, streams.submit, streams.settle,
            recognizer.in_flight,
        )

    execute(run, make, outputs.sinks, (segments, timeline))


class _Streams:
    """A stream for each video of a source, one after the other; pictures in a row are one video.

    begin: makes a stream. ended: called with each one and its video when that is over.
    """

    def __init__(
        self, begin: Callable[[], Stream], classes: int, info: Info, ended: Callable[[str, Stream], None]
    ) -> None:
        import numpy as np

        self._begin, self._info, self._ended = begin, info, ended
        self._nothing = np.zeros(classes, np.float32)
        self._newest: _Video | None = None               # whose frames go in
        self._settling: _Video | None = None             # whose windows come out

    def submit(self, frames: Sequence[Frame]) -> Pending:
        """Start on frames, in order; what comes back waits and has, for each, its video and its window."""
        pending = []
        for frame in frames:
            uri = self._uri(frame)
            if self._newest is None or self._newest[0] != uri:
                self._newest = uri, self._begin()
            pending.append((self._newest, self._newest[1].submit([frame])))
        return lambda: [(video, wait()[0]) for video, wait in pending]

    def settle(self, frame: Frame, found: tuple[_Video, Window | None]) -> Action:
        """The verdict of the frame's stream: idle while its window is not full."""
        from vision.types import Action

        video, window = found
        if video is not self._settling:
            self.finish()
            self._settling = video
        return video[1].settle(frame, window) or Action(self._nothing, -1, frame.time, frame.time)

    def finish(self) -> None:
        """The video that was settled last is over."""
        if self._settling is not None:
            self._ended(*self._settling)
            self._settling = None

    def _uri(self, frame: Frame) -> str:
        from vision.io.pictures import SUFFIXES

        several = self._info.kind == "list" and Path(frame.source).suffix.lower() not in SUFFIXES
        return frame.source if several else self._info.uri


class _Outputs:
    """The segments of each source, written when it has ended, however it has."""

    def __init__(self, recognizer: Recognizer, segments: Path | None, timeline: Path | None) -> None:
        self.recognizer, self.segments, self.timeline = recognizer, segments, timeline
        self.streams: _Streams | None = None
        self.rows: list[dict[str, Any]] = []
        self.found: list[Action] = []                    # of the last video
        self.span = (0.0, 0.0)

    def sinks(self, source: Source, stack: ExitStack) -> Iterable[Sink]:
        """A sink that watches the time, and what is written at the end."""
        self.found, self.span = [], (float("inf"), 0.0)
        assert self.streams is not None               # the step is made before its sinks
        stack.callback(self._write, self.streams)
        return [self._watch]

    def take(self, uri: str, stream: Stream) -> None:
        """The segments of a video that is over."""
        self.found = stream.finish()
        for segment in self.found:
            going_on = segment.to_dict(self.recognizer.names)["action"]
            self.rows.append({"source": uri, **going_on})

    def _watch(self, item: Item) -> None:
        self.span = min(self.span[0], item.frame.time), max(self.span[1], item.frame.time)

    def _write(self, streams: _Streams) -> None:
        from vision.chart import save_png, timeline_chart
        from vision.io.segments import write_segments

        streams.finish()
        if self.segments is not None:
            write_segments(self.segments, self.rows)
        if self.timeline is not None:
            span = self.span if self.span[0] <= self.span[1] else (0.0, 0.0)
            save_png(self.timeline, timeline_chart(self.found, span, self.recognizer.names))


def _write_features(recognizer: Recognizer, feature: str, run: RunOptions) -> None:
    """`descriptors` (N,D) float32 of length 1, and `sources` (N,), into the .npz that -o names."""
    import numpy as np

    from vision.io import local_files

    if run.output is None or run.output.suffix != ".npz":
        raise UsageError(f"--features needs -o FILE.npz; got {run.output}")
    files = [file for uri in run.sources for file in local_files(uri)]
    if not files:
        raise UsageError(f"--features takes video files; there are none at {', '.join(run.sources)}")
    rows = [recognizer.descriptor(file, feature) for file in files]
    np.savez(run.output, sources=[str(f) for f in files], descriptors=np.stack(rows), feature=feature)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("action")(action)
