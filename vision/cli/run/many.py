"""`vision run --ray`: the same plan on many machines, with progress over all sources and what failed at the end."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from vision.cli.options import Engine
from vision.cli.run.options import Going, Reading
from vision.cli.run.progress import many
from vision.cli.text import counted
from vision.errors import UsageError, plain
from vision.files import write_json
from vision.sinks import SinkSpec
from vision.spec import Described, Option, spec
from vision.steps import BlurFaces, Spec

if TYPE_CHECKING:
    from vision.scale.job import Progress

_ADDRESS = re.compile(r"local|auto|ray://\S+|(\[[0-9a-fA-F:]+\]|[\w.-]+):\d+")
_INTERRUPTED = 130
_NOT_HERE = ("max_frames", "realtime", "reconnect")        # which count over all sources, or are of live ones


@spec
class Many(Described):
    """A run on many machines."""

    panel: ClassVar[str] = "Many machines (extra ray)"

    ray: Annotated[str | None, Option(
        r"do it on Ray: --ray alone starts it on this machine; HOST:PORT, ray://HOST:PORT or auto reaches a cluster")
    ] = None
    results: Annotated[str | None, Option(
        "folder of the records and their manifest, which all machines see; or s3://..., gs://...")] = None
    format: Annotated[Literal["jsonl", "parquet"], Option("of the records")] = "jsonl"
    workers: Annotated[int | None, Option("how many; one a processor or GPU unless given", min=1)] = None
    cut: Annotated[float, Option("do videos of twice that in ranges, where no step remembers; 0: never", "seconds",
                                 min=0)] = 600.0

    def refuse_rest(self) -> None:
        """Raise UsageError for an option of many machines without --ray."""
        for name in self.to_dict():
            raise UsageError(f"--{name} is of a run on many machines. Add --ray.")


def with_address(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, with the address that `--ray` leaves out: what follows may be a source."""
    made: list[str] = []
    for number, one in enumerate(arguments):
        after = arguments[number + 1] if number + 1 < len(arguments) else ""
        made.append("--ray=local" if one == "--ray" and not _ADDRESS.fullmatch(after) else one)
    return made


def many_machines(
    sources: Sequence[str], plan: Sequence[Spec], sinks: Sequence[SinkSpec], given: Mapping[str, Mapping[str, Any]],
    asked: Many,
) -> None:
    """Run a plan over sources on Ray. given: the options of reading, engine and run, by part and field. Raises
    VisionError for what is not possible, before anything is read; typer.Exit: 1 where a source failed, 130 after
    Ctrl-C."""
    from vision.scale.job import Job

    reading, going = Reading(**given.get("reading", {})), Going(**given.get("going", {}))
    logging.getLogger("vision").setLevel(logging.WARNING if going.quiet else logging.INFO)
    _check(sinks, given, asked)
    going.check_report([*sources, *(file for one in plan for file in one.reads)])
    if going.blur_faces and not any(isinstance(one, BlurFaces) for one in plan):
        plan = [BlurFaces(), *plan]
    chosen = {name: value for name, value in reading.arguments().items() if value is not None}
    job = Job(
        plan, sources, str(asked.results), reading={name: chosen[name] for name in chosen if name in reading.to_dict()},
        engine={**Engine(**given.get("engine", {})).to_dict(), "free_only": going.free_only},
        address=asked.ray or "local", workers=asked.workers, cut=asked.cut, resume=going.resume,
        format=asked.format)
    began = monotonic()
    # Ray prints on standard output of workers that died, which is told below
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), many(job.progress, quiet=going.quiet) as told:
        try:
            progress = job.run(told)
        except KeyboardInterrupt:
            print("interrupted: what is done is kept. Go on with --resume.", file=sys.stderr)
            raise typer.Exit(_INTERRUPTED) from None
    if going.report is not None:
        write_json(going.report, job.summary())
    _say(progress, str(asked.results), monotonic() - began, going.quiet)
    if progress.failed:
        raise typer.Exit(1)


def _check(sinks: Sequence[SinkSpec], given: Mapping[str, Mapping[str, Any]], asked: Many) -> None:
    """Raise UsageError for options that many machines cannot keep to."""
    if asked.results is None:
        raise UsageError("a run on many machines needs a folder for its records: --results FOLDER")
    if sinks:
        raise UsageError(f"on many machines results are records in --results FOLDER; got --{sinks[0].name}. Draw what "
                         "you want to see afterwards, without --ray.")
    wrong = [name for name in _NOT_HERE if name in given.get("reading", {})]
    wrong += [name for name in ("max_latency", "checkpoint_every") if name in given.get("going", {})]
    for name in wrong:
        raise UsageError(f"--{name.replace('_', '-')} means nothing to many machines. Leave it out, or --ray.")


def _say(progress: Progress, results: str, seconds: float, quiet: bool) -> None:
    """What came of it, the sources that failed last."""
    failed = progress.failed
    if not quiet:
        kept = f" ({progress.kept} of them before)" if progress.kept else ""
        lost = f", {counted(progress.died, 'worker')} lost" if progress.died else ""
        print(plain(f"{progress.done} of {counted(progress.total, 'source')} done{kept}, {len(failed)} failed{lost}: "
                    f"{counted(progress.frames, 'frame')} in {seconds:.1f} s"), file=sys.stderr)
        print(plain(f"  -> {results}"), file=sys.stderr)
    for source, why in failed.items():
        print(plain(f"  failed: {source}: {why}"), file=sys.stderr)
