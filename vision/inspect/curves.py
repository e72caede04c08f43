"""Learning curves of several runs in one picture."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vision.errors import DataError
from vision.files import json_lines

_MOST = 6                              # panels


def curve_of(run: Path) -> Path:
    """The curve's file of a run, a folder or that file itself."""
    return run / "curve.jsonl" if run.is_dir() else run


def read_curve(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Of a run's `curve.jsonl`, each value's points (epoch from 1, value); what is no number is left out. Raises
    DataError for what is no run."""
    path = curve_of(run)
    if not path.is_file():
        raise DataError(f"{str(run)!r} has no curve.jsonl: give folders of `vision train`.")
    points: dict[str, list[tuple[int, float]]] = {}
    for number, line in json_lines(path):
        try:
            values = json.loads(line)
            epoch = int(values["epoch"]) + 1
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{str(path)!r}, line {number} is no line of a curve ({error}).") from error
        for name, value in values.items():
            if name != "epoch" and isinstance(value, int | float) and not isinstance(value, bool):
                points.setdefault(name, []).append((epoch, float(value)))
    if not points:
        raise DataError(f"{str(path)!r} has no epoch yet.")
    return points


def panels(curves: Sequence[dict[str, Any]]) -> list[str]:
    """What is drawn, a panel each: what all runs have in common first, losses of training, then the figures."""
    names = list(dict.fromkeys(name for curve in curves for name in curve))
    shared = [name for name in names if all(name in curve for curve in curves)]
    chosen = shared or names
    return sorted(chosen, key=lambda name: (not name.startswith("train/"), names.index(name)))[:_MOST]


def named(runs: Sequence[Path]) -> list[str]:
    """What each run's line is called: its folder, with those around it where several are called alike."""
    parts = [run.absolute().parts for run in runs]
    most = max(map(len, parts), default=1)
    count = next((n for n in range(1, most) if len({part[-n:] for part in parts}) == len(set(parts))), most)
    return ["/".join(part[-count:]) for part in parts]


def draw(runs: Sequence[Path]) -> bytes:
    """A PNG with a panel for each value and a line for each run."""
    from matplotlib.figure import Figure

    curves = [read_curve(run) for run in runs]
    chosen, titles = panels(curves), named(runs)
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = Figure((4.6 * columns, 3.4 * rows), layout="constrained", dpi=110)
    for place, name in enumerate(chosen, start=1):
        axes = figure.add_subplot(rows, columns, place, title=name.replace("train/", "training: ").replace(
            "val/", "held out: "), xlabel="epoch")
        axes.grid(alpha=0.3)
        for title, curve in zip(titles, curves, strict=True):
            if name in curve:
                epochs, values = zip(*curve[name], strict=True)
                axes.plot(epochs, values, label=title, marker="." if len(epochs) < 30 else None)
        if place == 1:
            axes.legend(fontsize=8)
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()
