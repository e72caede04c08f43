"""A classifier's evaluation as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np

from vision.metrics.classification_report import Curve, Report
from vision.types import Floats, Image, Names

_SIDE, _MOST, _WORST = 112, 300, 40    # pixels of a small picture, how many of the wrong ones, how many in the list
_WORDS = {
    "accuracy": "accuracy", "top5": "top-5", "balanced": "balanced accuracy", "precision": "precision",
    "recall": "recall", "f1": "F1", "mcc": "MCC", "ece": "ECE", "roc": "area under ROC", "pr": "area under PR",
    "map": "mAP",
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1120px; margin: 2em auto }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.15em; margin-top: 2.2em } p { max-width: 60em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .15em .7em; text-align: right;
font-weight: normal } thead th { color: #666 } tbody th { text-align: left } tbody tr:hover { background: #f4f4f4 }
.plots { display: flex; flex-wrap: wrap; gap: 2em } svg text { font: 12px system-ui, sans-serif; fill: #555 }
.curve { fill: none; stroke: #b9c6d8; stroke-width: 1.5 } .curve:hover { stroke: #d1495b; stroke-width: 3 }
.confusion { font-size: 12px } .confusion td { padding: 0; width: 30px; height: 24px; text-align: center }
.confusion td[data-at] { cursor: pointer } .confusion td.chosen { outline: 2px solid #d1495b }
.confusion thead th { writing-mode: vertical-rl; transform: rotate(180deg); padding: .4em 0; text-align: left }
.grid { display: flex; flex-wrap: wrap; gap: .8em } figure { margin: 0; width: 124px } figure img { display: block }
figcaption { font-size: 12px; color: #555; overflow-wrap: anywhere }
"""
_SCRIPT = """
const shown = document.getElementById('cell'), wrong = JSON.parse(document.getElementById('wrong').textContent);
for (const cell of document.querySelectorAll('td[data-at]')) cell.onclick = () => {
  document.querySelector('td.chosen')?.classList.remove('chosen'); cell.classList.add('chosen');
  shown.replaceChildren(...[...document.querySelectorAll('#all figure')]
    .filter(figure => figure.dataset.at === cell.dataset.at).map(figure => figure.cloneNode(true)));
  if (!shown.children.length) shown.textContent = wrong[cell.dataset.at] ?? 'right ones are not shown';
};
"""


@dataclass(frozen=True)
class Wrong:
    """A picture that was taken for another class. name: for people. truth, found: classes. sure: of `found`, 0..1."""

    name: str
    truth: int
    found: int
    sure: float


def page(
    title: str, facts: Mapping[str, str], made: Report, names: Names, wrong: Sequence[Wrong] = (),
    picture: Callable[[str], Image | None] = lambda name: None,
) -> str:
    """The page as HTML: figures, a table of the classes, curves, reliability, the confusion matrix, whose cells show
    their pictures when they are clicked, and the worst pictures. picture: gives one by its name; None: none to show."""
    worst = sorted(wrong, key=lambda one: -one.sure)[:_MOST]
    lines = "<br>".join(f"{escape(k)}: {escape(v)}" for k, v in facts.items())
    figures = "".join(f"<tr><th>{_WORDS[k]}</th><td>{v:.4f}</td></tr>" for k, v in made.figures.items())
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1><p>{lines}</p>",
        f"<table><tbody>{figures}</tbody></table>", "<h2>Classes</h2>", _classes(made, names),
        "<h2>Curves</h2><p>A line for each class: point at it for its name.</p>",
        '<div class="plots">', _plot("false positives", "true positives", made.roc, names),
        _plot("recall", "precision", made.pr, names), _reliability(made) if made.reliability else "", "</div>",
    ]
    if made.confusion is not None:
        many = json.dumps({f"{t} {f}": "more than are shown" for t in range(len(names)) for f in range(len(names))
                           if t != f and made.confusion[t, f]} if wrong else {})
        parts += [
            "<h2>Confusion</h2><p>Rows: what it is. Columns: what was found. Click a cell for its pictures.</p>",
            _matrix(made, names), '<div class="grid" id="cell"></div>',
            f'<script type="application/json" id="wrong">{many}</script>',
        ]
    if worst:
        figures = "".join(_figure(one, names, picture) for one in worst)
        parts += [f"<h2>The surest mistakes</h2><p>{min(_WORST, len(worst))} of {len(wrong)}.</p>",
                  f"<style>#all figure:nth-child(n+{_WORST + 1}) {{ display: none }}</style>",
                  f'<div class="grid" id="all">{figures}</div>']
    return "\n".join([*parts, f"<script>{_SCRIPT}</script></body></html>\n"])


def _classes(made: Report, names: Names) -> str:
    columns = ("precision", "recall", "f1", "roc", "pr", "support")
    head = "".join(f"<th>{_WORDS.get(c, 'pictures')}</th>" for c in columns)
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(_cell(one[c], c) for c in columns)}</tr>"
        for name, one in zip(names, made.classes, strict=True) if one["support"] or len(names) <= 50
    )
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: float, column: str) -> str:
    return f"<td>{value:.0f}</td>" if column == "support" else f"<td>{value:.3f}</td>".replace("nan", "-")


def _frame(across: str, down: str, inside: str) -> str:
    return (f'<svg width="340" height="320" viewBox="-40 -10 340 320"><rect width="260" height="260" fill="none" '
            f'stroke="#ccc"/>{inside}<text x="130" y="285" text-anchor="middle">{across}</text>'
            f'<text transform="translate(-14 130) rotate(-90)" text-anchor="middle">{down}</text>'
            '<text x="-4" y="268" text-anchor="end">0</text><text x="260" y="274">1</text></svg>')


def _plot(across: str, down: str, curves: Sequence[Curve], names: Names) -> str:
    lines = "".join(
        f'<path class="curve" d="M{_points(one.x, one.y)}"><title>{escape(name)}: {one.area:.3f}</title></path>'
        for one, name in zip(curves, names, strict=True) if len(one.x)
    )
    return _frame(across, down, lines)


def _points(x: Floats, y: Floats) -> str:
    return "L".join(f"{260 * a:.1f} {260 - 260 * b:.1f}" for a, b in zip(x, y, strict=True))


def _reliability(made: Report) -> str:
    most = max(count for *_, count in made.reliability)
    dots = "".join(
        f'<circle cx="{260 * sure:.1f}" cy="{260 - 260 * right:.1f}" r="{2 + 8 * (count / most) ** 0.5:.1f}" '
        f'fill="#1f5fa8" opacity="0.6"><title>{count} pictures: {sure:.2f} sure, {right:.2f} right</title></circle>'
        for sure, right, count in made.reliability
    )
    return _frame("certainty", "right", f'<path d="M0 260L260 0" stroke="#ccc"/>{dots}')


def _matrix(made: Report, names: Names) -> str:
    counts = made.confusion
    assert counts is not None
    there = [i for i in range(len(names)) if counts[i].any() or counts[:, i].any()]
    head = "".join(f"<th>{escape(names[i])}</th>" for i in there)
    rows = []
    for t in there:
        whole = max(1, int(counts[t].sum()))
        cells = "".join(
            f'<td data-at="{t} {f}" style="background:rgba({"42,157,58" if t == f else "209,73,91"},'
            f'{counts[t, f] / whole:.2f})" title="{escape(names[t])} as {escape(names[f])}">{counts[t, f] or ""}</td>'
            for f in there)
        rows.append(f"<tr><th>{escape(names[t])}</th>{cells}</tr>")
    return f'<table class="confusion"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _figure(one: Wrong, names: Names, picture: Callable[[str], Image | None]) -> str:
    image, inside = picture(one.name), ""
    if image is not None:
        ratio = _SIDE / max(image.shape[:2])
        size = max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        data = base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()).decode()
        inside = f'<img alt="" src="data:image/jpeg;base64,{data}">'
    told = f"<b>{escape(names[one.found])}</b> {one.sure:.2f}, is {escape(names[one.truth])}"
    file = escape(one.name.rsplit("/", 1)[-1])
    return (f'<figure data-at="{one.truth} {one.found}">{inside}<figcaption>{told}<br>{file}</figcaption></figure>')
