"""A search for settings as one HTML page: every trial as a line through its values, what decides, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite, log10
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision.train.tuning import Tried

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } td, th { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
svg text { font-size: 12px; fill: #333; } path { fill: none; stroke-width: 1.6; opacity: .75; }
path:hover { stroke-width: 4; opacity: 1; } .bar { fill: #4a78a8; } .failed, .pruned { color: #888; }
@media (prefers-color-scheme: dark) { body { background: #16181b; color: #ddd; } svg text { fill: #ddd; } }
"""
_WIDTH, _HEIGHT, _TOP, _LEFT = 900, 300, 40, 60


def page(title: str, tried: Sequence[Tried], weights: Mapping[str, float]) -> str:
    """The page. tried: all trials. weights: how much each option decides, 0..1; empty where that is not known."""
    complete = sorted((one for one in tried if one.state == "complete"), key=lambda one: -one.value)
    best = (f"<p>The best of {len(tried)} trials is <b>{complete[0].number}</b>: {complete[0].value:.4f} with "
            f"{escape(_said(complete[0].chosen))}.</p>" if complete else "<p>No trial has come to an end.</p>")
    return "".join([
        f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1>{best}<h2>Every trial</h2>{_lines(complete)}",
        f"<h2>What decides</h2>{_bars(weights)}<h2>Table</h2>{_table(tried)}",
    ])


def _said(chosen: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in chosen.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _lines(complete: Sequence[Tried]) -> str:
    """Parallel coordinates: an axis an option and one for the figure, a line a trial; the best are red."""
    if not complete:
        return ""
    names = list(complete[0].chosen)
    columns = [[one.chosen.get(name) for one in complete] for name in names] + [[one.value for one in complete]]
    step = (_WIDTH - 2 * _LEFT) / max(1, len(columns) - 1)
    places, axes = [], []
    for k, (name, values) in enumerate(zip([*names, "figure"], columns, strict=True)):
        x = _LEFT + k * step
        shares, marks = _axis(values)
        places.append([(x, _TOP + _HEIGHT * (1 - share)) for share in shares])
        ticks = "".join(f'<text x="{x + 6:.0f}" y="{_TOP + _HEIGHT * (1 - at) + 4:.0f}">{escape(text)}</text>'
                        for at, text in marks)
        axes.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{_TOP}" y2="{_TOP + _HEIGHT}" stroke="#999"/>'
                    f'<text x="{x:.0f}" y="{_TOP - 14}" text-anchor="middle" font-weight="bold">{escape(name)}</text>'
                    f"{ticks}")
    figures = _axis(columns[-1])[0]
    paths = []
    for i in reversed(range(len(complete))):             # the best on top
        points = " L ".join(f"{x:.1f} {y:.1f}" for x, y in (column[i] for column in places))
        said = escape(f"trial {complete[i].number}: {complete[i].value:.4f}; {_said(complete[i].chosen)}")
        paths.append(f'<path d="M {points}" stroke="hsl({220 - 220 * figures[i]:.0f} 70% 50%)"><title>{said}</title>'
                     "</path>")
    size = f"0 0 {_WIDTH} {_HEIGHT + 2 * _TOP}"
    return f'<svg viewBox="{size}" role="img" aria-label="parallel coordinates">{"".join(axes + paths)}</svg>'


def _axis(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each value stands on an axis, 0..1, and the marks on it."""
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) and isfinite(v) for v in values)
    if not numbers:
        kinds = sorted({str(value) for value in values})
        last = max(1, len(kinds) - 1)
        return [kinds.index(str(v)) / last for v in values], [(i / last, kind) for i, kind in enumerate(kinds)]
    low, high = min(values), max(values)
    wide = low > 0 and high / low > 20                   # of several factors of ten
    scale = log10 if wide else float
    span = (scale(high) - scale(low)) or 1.0
    return [(scale(v) - scale(low)) / span for v in values], [(0.0, _short(low)), (1.0, _short(high))]


def _bars(weights: Mapping[str, float]) -> str:
    if not weights:
        return "<p>Too few trials to say.</p>"
    rows = [
        f'<text x="0" y="{22 * i + 16}">{escape(name)}</text><rect class="bar" x="140" y="{22 * i + 4}" height="15" '
        f'width="{600 * share:.0f}"/><text x="{150 + 600 * share:.0f}" y="{22 * i + 16}">{share:.2f}</text>'
        for i, (name, share) in enumerate(sorted(weights.items(), key=lambda pair: -pair[1]))
    ]
    return f'<svg viewBox="0 0 {_WIDTH} {22 * len(rows) + 8}">{"".join(rows)}</svg>'


def _table(tried: Sequence[Tried]) -> str:
    names = list(dict.fromkeys(name for one in tried for name in one.chosen))
    head = "".join(f"<th>{escape(word)}" for word in ("trial", "figure", *names, "", ""))
    body = "".join(
        f'<tr class="{one.state}"><td>{one.number}<td>{one.value:.4f}'
        + "".join(f"<td>{escape(_short(one.chosen.get(name, '')))}" for name in names)
        + f"<td>{one.state}<td>{escape(one.why)}" for one in sorted(
            tried, key=lambda one: (one.state != "complete", -one.value if isfinite(one.value) else 0.0, one.number)))
    return f"<table><tr>{head}{body}</table>"
