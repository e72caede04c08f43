"""Specs as options: what a command takes is read off the fields of the specs that it is made of."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any, Literal

from vision.cli.options import ENGINE, Engine, parameter
from vision.drawing import Style
from vision.errors import UsageError
from vision.files import check_writable
from vision.sinks import SinkSpec
from vision.spec import Described, Field, Option, first_sentence, options, spec
from vision.steps import Spec

IN, OUT, GOING = "Which frames", "Outputs", "The run"
_NOT_PLAIN = ("key", "on")                      # of fields that every step has: --track.on


@spec
class Reading(Described):
    """Which frames of the sources are read: the arguments of `vision.read`."""

    start: Annotated[str | None, Option("begin here: 90, 1:30 or 00:01:30", "seconds")] = None
    end: Annotated[str | None, Option("end before this", "seconds")] = None
    stride: Annotated[int, Option("read only every n-th frame", min=1)] = 1
    max_frames: Annotated[int | None, Option("read at most so many frames", min=1)] = None
    rate: Annotated[float | None, Option(
        "frame rate of a folder of pictures without a seqinfo.ini", "frames a second")] = None
    realtime: Annotated[bool, Option("play a file as a camera would: frames come when they are due")] = False
    reconnect: Annotated[bool, Option("wait for a camera or a stream that is missing or lost, however long")] = False
    topic: Annotated[str | None, Option(
        "whose pictures are read of an MCAP file or a ROS 2 bag that has several")] = None
    reader: Annotated[Literal["auto", "opencv"], Option("what decodes video: PyAV or OpenCV")] = "auto"

    def arguments(self) -> dict[str, Any]:
        """The arguments of `vision.read`."""
        return {**self.to_dict(), "start": seconds("--start", self.start), "end": seconds("--end", self.end)}


@spec
class Going(Described):
    """How a run goes on, and what it reports."""

    max_latency: Annotated[str | None, Option("drop frames of a live source that are older: 100ms, 0.5s")] = None
    resume: Annotated[bool, Option("continue where the same command was killed")] = False
    checkpoint_every: Annotated[float | None, Option(
        "time between checkpoints; 10 where every output can be resumed, 0: none", "seconds", min=0)] = None
    report: Annotated[Path | None, Option("write what became of every frame, as JSON")] = None
    blur_faces: Annotated[bool, Option(
        "blur faces in all that is written, whatever else is done (options: vision blur --help)")] = False
    free_only: Annotated[bool, Option("refuse weights that may be used for research only")] = False
    quiet: Annotated[bool, Option("show no progress and no summary", flags=("--quiet", "-q"))] = False

    def check_report(self, files: Iterable[str]) -> None:
        """Raise VisionError where the report cannot be written, or would replace what is read. files: sources, and what
        else is read."""
        if self.report is not None:
            from vision.io import Inputs

            Inputs(files).refuse(self.report)
            check_writable(self.report)


def seconds(name: str, text: str | None) -> float | None:
    """Seconds of `90`, `1:30`, `00:01:30.5`, `0.5s` or `100ms`. Raises UsageError."""
    if text is None:
        return None
    plain, scale = (text[:-2], 1e-3) if text.endswith("ms") else (text.removesuffix("s"), 1.0)
    total = 0.0
    try:
        parts = [float(part) for part in plain.split(":")]
    except ValueError:
        parts = [-1.0]
    for part in parts:
        total = total * 60 + part * scale
    if min(parts) < 0 or not total < float("inf"):
        raise UsageError(f"{name} is a time such as 90, 1:30, 0.5s or 100ms; got {text!r}.")
    return total


class Parts:
    """The specs that one command is made of, and the options that it has for them.

    plan: kinds of steps by key, the command's own last. sinks: kinds of sinks. plain: whether options of steps
    may go without the step's key before them. `parameters`: for typer, one an option.
    """

    def __init__(self, plan: Mapping[str, type[Spec]], sinks: Mapping[str, type[SinkSpec]], plain: bool) -> None:
        self.plan, self.sinks = plan, sinks
        self._taken: set[str] = {"--help", "--do", "--plan"}
        self.parameters: list[inspect.Parameter] = []
        self._fields: dict[str, tuple[str, str]] = {}          # a parameter: its part and its field
        for name, kind in reversed(list(plan.items())):
            self._add(name, kind, f"{name}: {first_sentence(kind)}", plain, hidden=not plain)
        for name, sink in sinks.items():
            self._add_sink(name, sink)
        for name, panel, shared in (("style", OUT, Style), ("reading", IN, Reading), ("engine", ENGINE, Engine),
                                    ("going", GOING, Going)):
            self._add(name, shared, panel, plain=True, bare=True)

    def take(self, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """What was given, by part and field."""
        given: dict[str, dict[str, Any]] = {}
        for name, (part, field) in self._fields.items():
            value = values.get(name)
            if value is not None and value != []:
                given.setdefault(part, {})[field] = value
        return given

    def _add(self, part: str, kind: type, panel: str, plain: bool, hidden: bool = False, bare: bool = False) -> None:
        for field in options(kind):
            flags = self._flags(part, field, plain and field.name not in _NOT_PLAIN, bare)
            for flag in flags:
                self._option(part, field, flag, panel, hidden or field.name in _NOT_PLAIN)

    def _add_sink(self, part: str, kind: type[SinkSpec]) -> None:
        fields = options(kind)
        if not any(field.default is MISSING for field in fields):
            note = Option(first_sentence(kind), flags=(f"--{part}",))
            self._option(part, Field("", bool, bool, True, False, note), (f"--{part}",), OUT, False)
        for field in fields:
            named = bool(field.option.flags)
            for flags in self._flags(part, field, named, named):
                self._option(part, field, flags, OUT, hidden=not named)

    def _flags(self, part: str, field: Field, plain: bool, bare: bool) -> list[tuple[str, ...]]:
        """The names of an option: its plain ones where they are free, and the one with the part's name, which is an
        option of its own that help does not show."""
        name = field.name.replace("_", "-")
        own = field.option.flags or (f"--{name}",)
        both_ways = field.type is bool and field.default is True
        if both_ways and not field.option.flags:
            own = (f"--{name}/--no-{name}",)
        free = plain and not any(flag in self._taken for flag in own)
        self._taken.update(own if free else ())
        dotted = f"--{part}.{name}" + (f"/--{part}.no-{name}" if both_ways else "")
        return [*([tuple(own)] if free else []), *([] if bare else [(dotted,)])]

    def _option(self, part: str, field: Field, flags: Sequence[str], panel: str, hidden: bool) -> None:
        dotted = flags[0].startswith(f"--{part}.")
        name = f"{part}__{field.name}" + ("__dotted" if dotted else "")
        self._fields[name] = (part, field.name)
        hidden = hidden or (dotted and f"{part}__{field.name}" in self._fields)
        self.parameters.append(parameter(field, panel, name, flags, hidden))


def specs_of(given: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, type[SinkSpec]]) -> Iterator[SinkSpec]:
    """The sinks that were asked for."""
    for name, kind in kinds.items():
        values = {field: value for field, value in given.get(name, {}).items() if field}
        needed = [field.name for field in options(kind) if field.default is MISSING]
        if name in given and (values.keys() >= set(needed)) and (needed or "" in given[name]):
            yield kind(**values)
        elif values:
            option = next(iter(values)).replace("_", "-")
            raise UsageError(f"--{name}.{option} is an option of --{name}{' FILE' if needed else ''}, which was not "
                             "given; the output of -o has none.")
