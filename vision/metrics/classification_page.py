"""A classifier's evaluation as one HTML page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from vision.metrics.classification_report import Curve, Report
from vision.metrics.page_parts import fitted, head, inlined, matrix
from vision.types import Floats, Image, Names

_SIDE, _MOST, _WORST = 112, 300, 40    # pixels of a small picture, how many of the wrong ones, how many in the list
_WORDS = {
    "accuracy": "accuracy", "top5": "top-5", "balanced": "balanced accuracy", "precision": "precision",
    "recall": "recall", "f1": "F1", "mcc": "MCC", "ece": "ECE", "roc": "area under ROC", "pr": "area under PR",
    "map": "mAP",
}
_STYLE = """
.plots { display: flex; flex-wrap: wrap; gap: 2em } svg text { font: 12px system-ui, sans-serif; fill: #555 }
.curve { fill: none; stroke: #b9c6d8; stroke-width: 1.5 } .curve:hover { stroke: #d1495b; stroke-width: 3 }
figure { width: calc(12px + var(--side)) }
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
    picture: Callable[[str], Image | None] = lambda name: None, unit: str = "pictures", side: int = _SIDE,
) -> str:
    """The page as HTML: figures, a table of the classes, curves, reliability, the confusion matrix, whose cells show
    their pictures when they are clicked, and the worst pictures.

    picture: gives one by its name; None: none to show. unit: what is classified: pictures, videos. side: pixels of a
    picture's longer side on the page."""
    worst = sorted(wrong, key=lambda one: -one.sure)[:_MOST]
    figures = "".join(f"<tr><th>{_WORDS[k]}</th><td>{v:.4f}</td></tr>" for k, v in made.figures.items())
    parts = [
        head(title, facts, f":root {{ --side: {side}px }}{_STYLE}"),
        f"<table><tbody>{figures}</tbody></table>", "<h2>Classes</h2>", _classes(made, names, unit),
        "<h2>Curves</h2><p>A line for each class: point at it for its name.</p>",
        '<div class="plots">', _plot("false positives", "true positives", made.roc, names),
        _plot("recall", "precision", made.pr, names), _reliability(made, unit) if made.reliability else "", "</div>",
    ]
    if made.confusion is not None:
        many = json.dumps({f"{t} {f}": "more than are shown" for t in range(len(names)) for f in range(len(names))
                           if t != f and made.confusion[t, f]} if wrong else {})
        parts += [
            "<h2>Confusion</h2><p>Rows: what it is. Columns: what was found. Click a cell for its "
            f"{unit}.</p>", matrix(made.confusion, names, lambda count, share: str(count or "")),
            '<div class="grid" id="cell"></div>',
            f'<script type="application/json" id="wrong">{many}</script>',
        ]
    if worst:
        figures = "".join(_figure(one, names, picture, side) for one in worst)
        parts += [f"<h2>The surest mistakes</h2><p>{min(_WORST, len(worst))} of {len(wrong)}.</p>",
                  f"<style>#all figure:nth-child(n+{_WORST + 1}) {{ display: none }}</style>",
                  f'<div class="grid" id="all">{figures}</div>']
    return "\n".join([*parts, f"<script>{_SCRIPT}</script></body></html>\n"])


def _classes(made: Report, names: Names, unit: str) -> str:
    columns = ("precision", "recall", "f1", "roc", "pr", "support")
    heads = "".join(f"<th>{_WORDS.get(c, unit)}</th>" for c in columns)
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(_cell(one[c], c) for c in columns)}</tr>"
        for name, one in zip(names, made.classes, strict=True) if one["support"] or len(names) <= 50
    )
    return f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table>"


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


def _reliability(made: Report, unit: str) -> str:
    most = max(count for *_, count in made.reliability)
    dots = "".join(
        f'<circle cx="{260 * sure:.1f}" cy="{260 - 260 * right:.1f}" r="{2 + 8 * (count / most) ** 0.5:.1f}" '
        f'fill="#1f5fa8" opacity="0.6"><title>{count} {unit}: {sure:.2f} sure, {right:.2f} right</title></circle>'
        for sure, right, count in made.reliability
    )
    return _frame("certainty", "right", f'<path d="M0 260L260 0" stroke="#ccc"/>{dots}')


def _figure(one: Wrong, names: Names, picture: Callable[[str], Image | None], side: int) -> str:
    image = picture(one.name)
    inside = "" if image is None else f'<img alt="" src="{inlined(fitted(image, side))}">'
    told = f"<b>{escape(names[one.found])}</b> {one.sure:.2f}, is {escape(names[one.truth])}"
    file = escape(one.name.rsplit("/", 1)[-1])
    return f'<figure data-at="{one.truth} {one.found}">{inside}<figcaption>{told}<br>{file}</figcaption></figure>'
