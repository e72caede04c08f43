"""The page of what the models see: a table a model, each statistic now and as it was."""

from __future__ import annotations

import html
from collections import Counter
from typing import Any

import numpy as np

from vision.serve.drift import STATISTICS, Distribution
from vision.serve.monitor import Monitor
from vision.serve.openapi import framed

_BINS = 12
_WORDS = {
    "score": "scores of what was found", "count": "objects a picture", "class": "classes",
    "brightness": "brightness of the pictures (0 to 255)", "sharpness": "sharpness of the pictures (logarithm)",
    "distance": "distance from the good pictures (0 to 1)",
}


def page(monitor: Monitor) -> str:
    """The page as it is now."""
    if not monitor.models():
        return framed("vision: what the models see", "<h1>What the models see</h1><p>Nothing so far.</p>")
    drifts, parts = monitor.drifts(), ["<h1>What the models see</h1>"]
    if monitor.reference is None:
        parts.append("<p>There is nothing to compare with: make thresholds from good records with <code>vision monitor "
                     "fit RECORDS -o good.json</code>, and start with <code>--monitor good.json</code>.</p>")
    for model in monitor.models():
        lately = monitor.lately(model)
        rows = []
        for name in STATISTICS:
            if not lately[name]:
                continue
            then, drift = monitor.reference_of(model, name), drifts.get((model, name))
            said = "" if drift is None else f"shift {drift.shift:.2f}, threshold {drift.threshold:.2f}"
            if drift is not None and drift.alarm:
                said = f'<span class="alarm">drifts: {said}</span>'
            rows.append(f"<tr><th>{_WORDS[name]}</th><td>{_bars(lately[name], then)}</td>"
                        f"<td>{_summary(lately[name])}</td><td>{said}</td></tr>")
        parts.append(f"<h2>{html.escape(model)}</h2><table>{''.join(rows)}</table>")
    parts.append(f"<p>Dark: the last {monitor.window} pictures of each model. Light: the good ones.</p>")
    return framed("vision: what the models see", "".join(parts))


def _summary(values: list[Any]) -> str:
    if isinstance(values[0], str):
        return ", ".join(f"{html.escape(name)} {count}" for name, count in Counter(values).most_common(5))
    low, middle, high = np.percentile(values, [5, 50, 95])
    return f"median {middle:.3g} (5 %: {low:.3g}, 95 %: {high:.3g})"


def _bars(values: list[Any], then: Distribution | None) -> str:
    """Shares of the bins as bars, with those of the reference behind them."""
    if then is not None:
        now, good = then.counts(values) / max(1, len(values)), np.asarray(then.shares)
    elif isinstance(values[0], str):
        now, good = np.array([count for _, count in Counter(values).most_common(_BINS)]) / len(values), None
    else:
        now, good = np.histogram(values, _BINS)[0] / len(values), None
    highest = max(float(now.max()), 0.0 if good is None else float(good.max()), 1e-9)
    wide = 100 / len(now)
    bars = [] if good is None else [_bar("good", i, wide, share / highest, 1.0) for i, share in enumerate(good)]
    bars += [_bar("now", i, wide, share / highest, 0.6) for i, share in enumerate(now)]
    return ('<svg class="bars" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" '
            f'aria-label="shares of {len(now)} bins">{"".join(bars)}</svg>')


def _bar(kind: str, place: int, wide: float, height: float, part: float) -> str:
    left = place * wide + wide * (1 - part) / 2
    return (f'<rect class="{kind}" x="{left:.2f}" width="{wide * part * 0.92:.2f}" y="{30 - 30 * height:.2f}" '
            f'height="{30 * height:.2f}"/>')
