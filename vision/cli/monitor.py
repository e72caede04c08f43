"""`vision monitor`: thresholds of the drift alarm, from good records; and whether others drift."""

from __future__ import annotations

import json
import sys
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from vision.errors import DataError, VisionError, plain

_Records = Annotated[list[Path], typer.Argument(metavar="RECORDS", help="records of a run (--jsonl)")]
_Pictures = Annotated[list[str] | None, typer.Option(
    help="what to read in place of the source that the records name; for several, in their order")]


def fit(
    records: _Records,
    output: Annotated[Path, typer.Option("-o", "--output", help="the thresholds, as JSON")] = Path("monitor.json"),
    pictures: _Pictures = None,
    window: Annotated[int, typer.Option(min=10, help="pictures that are compared together")] = 200,
    embedding: Annotated[bool, typer.Option(
        "--embedding/--no-embedding", help="also the distance of each picture's embedding from the mean")] = True,
) -> None:
    """Make the thresholds of a drift alarm from records of when all was well."""
    from vision.files import check_writable
    from vision.io import Inputs
    from vision.serve.drift import Reference
    from vision.serve.records import seen_in

    Inputs([str(file) for file in records]).refuse(output)
    check_writable(output)
    seen = seen_in(records, _classifier if embedding else None, _note, pictures or ())
    reference = Reference.fit(seen, window)
    reference.save(output)
    for model, found in reference.models.items():
        said = ", ".join(f"{name} {one.threshold:.2f}" for name, one in found.items())
        print(f"{plain(model)}: {said}")
    print(f"{output}: thresholds for windows of {reference.window} pictures; use them with "
          f"vision serve --monitor {output}", file=sys.stderr)


def check(
    records: _Records,
    against: Annotated[Path, typer.Option(help="what `vision monitor fit` made")] = Path("monitor.json"),
    pictures: _Pictures = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Compare records with the good ones. Exits with 1 where one of them drifts, with 2 where that cannot be told."""
    try:
        drifts = _drifts(records, against, pictures, as_json)
    except VisionError as error:
        error.exit_code = 2
        raise
    if drifts:
        raise typer.Exit(1)


def _drifts(records: list[Path], against: Path, pictures: list[str] | None, as_json: bool) -> int:
    """How many statistics drift. Raises DataError where nothing could be compared."""
    from vision.serve.drift import SAMPLED, Reference, values_of
    from vision.serve.records import seen_in

    reference = Reference.load(against)
    classifier = _classifier if reference.embedding is not None else None
    drifts = compared = 0
    for model, several in seen_in(records, classifier, _note, pictures or ()).items():
        seen = [values_of(one, reference.embedding) for one in several]
        for name, then in reference.models.get(model, {}).items():
            looked_at = [one[name] for one in seen if one[name] or name not in SAMPLED]
            values: list[Any] = list(chain.from_iterable(looked_at[-reference.window:]))
            if not values:
                continue
            compared += 1
            shift = then.shift(values)
            drifts += shift > then.threshold
            if as_json:
                print(json.dumps({"model": model, "statistic": name, "shift": round(shift, 4),
                                  "threshold": then.threshold, "drifts": shift > then.threshold}))
            else:
                print(plain(f"{'DRIFTS' if shift > then.threshold else 'ok':<7}{model}: {name} {shift:.2f} "
                            f"(threshold {then.threshold:.2f})"))
        if model not in reference.models:
            _note(f"{model} is not in {against}")
    if not compared:
        raise DataError(f"nothing in these records can be compared with {str(against)!r}: it is of "
                        f"{', '.join(reference.models) or 'no model'}.")
    return drifts


@cache
def _classifier() -> Any:
    from vision.tasks.classify import Classifier

    return Classifier.load()


def _note(text: str) -> None:
    print(plain(text), file=sys.stderr)


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Whether a model still sees what it saw: a drift alarm.")
    group.command("fit")(fit)
    group.command("check")(check)
    app.add_typer(group, name="monitor")
