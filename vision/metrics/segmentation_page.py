"""A segmenter's evaluation as one HTML page that needs nothing else: what was taken for what, and where."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
import numpy.typing as npt

from vision.drawing import class_colour
from vision.metrics.page_parts import fitted, head, inlined, matrix
from vision.metrics.segmentation import Figures, confusion
from vision.types import Image, Names

_SIDE = 320                            # pixels of a picture's longer side on the page
_WORST, _OF_CELL, _MOST = 24, 4, 120   # pictures in the list, for a cell of the matrix, on the page
_STYLE = """
figure { width: 320px } .many figure { width: 972px } .many .row { display: flex; gap: 6px }
#all .maps { display: none }
canvas { display: block; width: 100% } .key { display: inline-block; width: .9em; height: .9em; margin: 0 .3em 0 .9em }
"""
_SCRIPT = """
const cells = JSON.parse(document.getElementById('cells').textContent), shown = document.getElementById('cell');
const marked = (figure, truth, found) => {
  const picture = figure.querySelector('.seen'), maps = figure.querySelector('.maps');
  const made = document.createElement('figure'), canvas = document.createElement('canvas');
  const width = canvas.width = maps.naturalWidth, height = canvas.height = maps.naturalHeight;
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  pen.drawImage(maps, 0, 0);
  const labels = pen.getImageData(0, 0, width, height).data;
  pen.drawImage(picture, 0, 0, width, height);
  const pixels = pen.getImageData(0, 0, width, height), data = pixels.data;
  for (let i = 0; i < data.length; i += 4) {
    const here = labels[i] === truth && labels[i + 1] === found;
    for (let c = 0; c < 3; c++) data[i + c] = here ? (data[i + c] + 2 * [255, 0, 160][c]) / 3 : 128 + data[i + c] / 3;
  }
  pen.putImageData(pixels, 0, 0);
  made.append(canvas, figure.querySelector('figcaption').cloneNode(true));
  return made;
};
for (const cell of document.querySelectorAll('td[data-at]')) cell.onclick = () => {
  document.querySelector('td.chosen')?.classList.remove('chosen'); cell.classList.add('chosen');
  const [truth, found] = cell.dataset.at.split(' ').map(Number);
  const figures = (cells[cell.dataset.at] ?? []).map(place => document.getElementById('p' + place));
  shown.replaceChildren(...figures.map(figure => marked(figure, truth, found)));
  if (!figures.length) shown.textContent = 'no picture has such pixels';
};
"""


@dataclass(frozen=True)
class Judged:
    """What became of a picture. name: of its file. counts: (C,C) pixels, a row a true class, a column a found one.
    maps: (h,w,3) uint8, small, at most 320 pixels: in its last two channels the found and the true label of each
    pixel."""

    name: str
    counts: npt.NDArray[np.int64]
    maps: Image

    @property
    def wrong(self) -> float:
        """The share of the labelled pixels that are wrong, 0..1; 0 where none is labelled."""
        return 1 - float(np.trace(self.counts)) / max(1, int(self.counts.sum())) if self.counts.any() else 0.0


def judge(
    name: str, found: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], classes: int, void: int
) -> Judged:
    """found, labels: (H,W) maps of a picture; pixels with the label void do not count."""
    both = np.dstack([np.zeros_like(labels), found, labels])
    ratio = min(1.0, _SIDE / max(labels.shape))
    small = cv2.resize(both, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_NEAREST)
    return Judged(name, confusion(found, labels, classes, void), np.asarray(small, np.uint8))


def page(
    title: str, facts: Mapping[str, str], judged: Sequence[Judged], contour: float, names: Names,
    picture: Callable[[str], Image],
) -> str:
    """The page as HTML: figures, a table of the classes, the confusion matrix, whose cells mark their pixels in the
    pictures that have most of them when they are clicked, and the worst pictures with what is there and what was found.

    contour: the contour score. picture: gives one (H,W,3) uint8 BGR by its name."""
    counts = np.sum([one.counts for one in judged], axis=0)
    figures = Figures.of(counts)
    worst = sorted(range(len(judged)), key=lambda i: -judged[i].wrong)[:_WORST]
    cells = _cells(judged, counts)
    more = [i for places in cells.values() for i in places]
    shown = list(dict.fromkeys([*worst, *more]))[:_MOST]
    cells = {at: there for at, places in cells.items() if (there := [i for i in places if i in shown])}
    whole = {"mIoU": figures.miou, "class average": figures.class_average, "accuracy": figures.accuracy, "BF": contour}
    rows = "".join(f"<tr><th>{name}</th><td>{value:.4f}</td></tr>" for name, value in whole.items())
    key = "".join(f'<span class="key" style="background:{_css(i)}"></span>{escape(n)}' for i, n in enumerate(names))
    hidden = f"<style>#all figure:nth-child(n+{len(worst) + 1}) {{ display: none }}</style>"
    return "\n".join([
        head(title, facts, _STYLE), f"<table><tbody>{rows}</tbody></table>",
        "<h2>Classes</h2>", _classes(counts, figures, names),
        "<h2>Confusion</h2><p>Rows: what it is. Columns: what was found. In percent of a row's pixels. Click a cell: "
        "its pixels are marked in the pictures that have most of them.</p>",
        matrix(counts, names, lambda count, share: f"{100 * share:.0f}" if share >= 0.005 else "·" if count else ""),
        '<div class="grid" id="cell"></div>',
        f'<script type="application/json" id="cells">{json.dumps(cells)}</script>',
        f"<h2>The {len(worst)} worst pictures</h2><p>The picture, what is there, what was found. Black: not labelled."
        f"</p><p>{key}</p>", hidden,
        '<div class="grid many" id="all">', *(_figure(i, judged[i], picture) for i in shown),
        f"</div><script>{_SCRIPT}</script></body></html>\n",
    ])


def _cells(judged: Sequence[Judged], counts: npt.NDArray[np.int64]) -> dict[str, list[int]]:
    """Of each cell of the matrix the pictures that have most of its pixels; the cells with most wrong ones first."""
    stack = np.stack([one.counts for one in judged])
    wrong = np.where(np.eye(len(counts), dtype=bool), -1, counts)
    places = [divmod(int(i), len(counts)) for i in np.argsort(-wrong, axis=None, kind="stable")]
    return {
        f"{t} {f}": [int(i) for i in np.argsort(-stack[:, t, f], kind="stable")[:_OF_CELL] if stack[i, t, f]]
        for t, f in places if counts[t, f]
    }


def _classes(counts: npt.NDArray[np.int64], figures: Figures, names: Names) -> str:
    right, there, found = np.diag(counts), counts.sum(1), counts.sum(0)
    rows = []
    for i, name in enumerate(names):
        shares = [figures.iou[i], *(right[i] / n if n else np.nan for n in (there[i], found[i]))]
        cells = [*(f"{value:.3f}".replace("nan", "-") for value in shares), f"{there[i] / max(1, counts.sum()):.1%}"]
        rows.append(f"<tr><th>{escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    heads = "".join(f"<th>{word}</th>" for word in ("", "IoU", "accuracy", "precision", "of the pixels"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _figure(place: int, one: Judged, picture: Callable[[str], Image]) -> str:
    """A picture, what is there and what was found, beside each other; and both maps for the script."""
    seen = fitted(picture(one.name), _SIDE)
    panels = [f'<img class="seen" alt="" src="{inlined(seen)}">',
              *(f'<img alt="" src="{inlined(_tinted(one.maps[..., channel]), lossless=True)}">' for channel in (2, 1)),
              f'<img class="maps" alt="" src="{inlined(one.maps, lossless=True)}">']
    told = f"{100 * one.wrong:.1f} % of its pixels are wrong; mIoU {Figures.of(one.counts).miou:.3f}"
    return (f'<figure id="p{place}"><div class="row">{"".join(panels)}</div>'
            f"<figcaption>{escape(one.name.rsplit('/', 1)[-1])}: {told}</figcaption></figure>")


def _tinted(labels: npt.NDArray[np.uint8]) -> Image:
    return np.take(np.array([*(class_colour(c) for c in range(255)), (0, 0, 0)], np.uint8), labels, axis=0)


def _css(label: int) -> str:
    b, g, r = class_colour(label)
    return f"rgb({r},{g},{b})"
