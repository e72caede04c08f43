"""`vision benchmark`: how fast a plan is here, part by part, and what limits it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision.cli.options import Engine, opened
from vision.errors import UsageError, plain
from vision.files import check_writable, write_json

if TYPE_CHECKING:
    from vision.benchmark.meter import Figures
    from vision.benchmark.whole import Benchmark

_COSTS = ("frames/s", "p50 ms", "p95 ms", "p99 ms", "CPU s", "MiB", "J")


def benchmark(
    options: Engine,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="a video, a picture or a folder")],
    do: Annotated[str | None, typer.Option(help="tasks, such as detect,track,faces")] = None,
    plan: Annotated[Path | None, typer.Option(help="a TOML file with the steps in place of --do")] = None,
    frames: Annotated[int, typer.Option(min=1, help="how many of the first frames")] = 120,
    rounds: Annotated[int, typer.Option(min=1, help="of each part, in turns, after one to warm up")] = 3,
    batch: Annotated[str, typer.Option(help="pictures that networks are given together: 1,4,8")] = "1",
    ways: Annotated[bool, typer.Option(
        "--ways/--no-ways", help="also run each network in every other back end and precision")] = True,
    peer: Annotated[list[str] | None, typer.Option(help="another tool beside it, where installed: ultralytics")] = None,
    json: Annotated[Path | None, typer.Option(help="the figures as JSON; - for standard output")] = None,
    picture: Annotated[Path | None, typer.Option(help="throughput over latency as a picture, .png")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="say nothing while it goes on")] = False,
) -> None:
    """Measure a plan on a source part by part: rates, latencies, processor time, memory, energy, and what limits it."""
    from vision.benchmark.whole import benchmark as measure
    from vision.io import Inputs

    inputs = Inputs([source, *([] if plan is None else [str(plan)])])
    for path in (json, picture):
        if path is not None and str(path) != "-":
            inputs.refuse(path)
            check_writable(path)
    if picture is not None and picture.suffix.lower() != ".png":
        raise UsageError(f"--picture is a .png; got {str(picture)!r}.")
    said: Any = (lambda line: None) if quiet else (lambda line: print(plain(line), file=sys.stderr, flush=True))
    found = measure(
        source, _plan(do, plan), frames=frames, rounds=rounds, batches=_batches(batch), every_way=ways,
        peers=peer or [], device=options.device, precision=options.precision, backend=options.backend, told=said,
    )
    if json is not None:
        _write(json, found)
    if picture is not None:
        from vision.benchmark.drawn import chart
        from vision.chart import save_png

        save_png(picture, chart(found))
    if str(json) != "-":
        _show(found)


def _plan(do: str | None, plan: Path | None) -> list[Any]:
    from vision.steps.plan import plan_of, read_plan

    if (do is None) == (plan is None):
        raise UsageError("give what to do, either as --do detect,track or as --plan plan.toml.")
    return read_plan(plan) if plan is not None else plan_of(str(do).split(","))


def _batches(text: str) -> list[int]:
    sizes = text.split(",")
    if not all(one.strip().isdecimal() and 1 <= int(one) <= 1024 for one in sizes):
        raise UsageError(f"--batch is whole numbers from 1 to 1024, such as 1,4,8; got {text!r}.")
    return [int(one) for one in dict.fromkeys(sizes)]


def _write(path: Path, found: Benchmark) -> None:
    if str(path) == "-":
        from json import dumps

        print(dumps(found.to_dict()))
    else:
        write_json(path, found.to_dict())


def _show(found: Benchmark) -> None:
    width, height = found.size_wh
    print(plain(f"{found.source}: {found.frames} frames of {width}x{height}, {found.rounds} rounds in turns"))
    rows = [[one.name, *_costs(one.figures), _number(one.bound_fps),
             "" if one.share is None else f"{one.share:.2f}", one.engine] for one in found.stages]
    _table(("stage", *_COSTS, "bound", "share", "engine"), rows)
    if found.ways:
        print()
        _table(("network", "engine", "batch", *_COSTS, "differs", "auto"), [
            [one.network, one.engine, str(one.batch), *_costs(one.figures),
             "" if one.difference is None else f"{one.difference:.1e}", "yes" if one.allowed else "no"]
            for one in found.ways])
    print()
    print(plain(found.told))
    print(plain(f"what would help: {found.helps}"))
    for note in found.notes:
        print(plain(f"note: {note}"))


def _costs(figures: Figures) -> list[str]:
    return [_number(value) for value in (
        figures.fps, figures.p50_ms, figures.p95_ms, figures.p99_ms, figures.processor_s, figures.memory_mib,
        figures.joules)]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.4f}"


def _table(heads: tuple[str, ...], rows: list[list[str]]) -> None:
    """Columns of text: words to the left, numbers to the right; a column that is empty throughout is left out."""
    kept = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    widths = {i: max(len(row[i]) for row in (list(heads), *rows)) for i in kept}
    words = {"stage", "engine", "network", "auto"}
    for row in (list(heads), *rows):
        cells = [row[i].ljust(widths[i]) if heads[i] in words else row[i].rjust(widths[i]) for i in kept]
        print(plain("  ".join(cells).rstrip()))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("benchmark")(opened(benchmark))
