"""A detector's evaluation as one HTML page that needs nothing else: pictures and plots are inside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.io import read
from vision.metrics.detection import AveragePrecision
from vision.metrics.detection_errors import MIN_IOU, Judged, confusion
from vision.types import Floats, Names

_WORST = 20
_SIDE = 480                       # pixels of a picture's longer side on the page
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1120px; margin: 2em auto }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.15em; margin-top: 2.2em } p { max-width: 60em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .15em .7em; text-align: right; font-weight: normal } thead th { color: #666 }
tbody th { text-align: left } tbody tr:hover { background: #f4f4f4 } tr.all { border-top: 1px solid #bbb }
.confusion { font-size: 12px } .confusion td { padding: 0; width: 34px; height: 26px; text-align: center }
.confusion thead th { writing-mode: vertical-rl; transform: rotate(180deg); padding: .4em 0 }
.confusion thead th { text-align: left } .confusion th { padding: 0 .5em }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 1.2em }
figure { margin: 0 } figure svg { width: 100%; height: auto; display: block }
figcaption { font-size: 13px; color: #555 } svg text { font-family: system-ui, sans-serif }
.curve { fill: none; stroke: #b9c6d8 } .curve:hover { stroke: #d1495b; stroke-width: 2.5 }
.mean { stroke: #1f5fa8; stroke-width: 2.5 }
.box { fill: transparent; vector-effect: non-scaling-stroke; stroke-width: 2.5 }
.key { display: inline-block; width: 1.6em; border-top: 3px; margin: 0 .4em .25em 1em }
"""
_KINDS = {                        # of boxes on a picture: colour, line, what they say
    "right": ("#2a9d3a", "solid", "found, right"),
    "missed": ("#e0322b", "dashed", "missed"),
    "false": ("#f28c00", "solid", "on nothing"),
    "wrong": ("#b03bd1", "solid", "of a wrong class"),
    "difficult": ("#999999", "dotted", "difficult, not judged"),
}
_DASHES = {"solid": "none", "dashed": "6 4", "dotted": "2 3"}


def page(
    title: str, facts: Mapping[str, str], figures: AveragePrecision, curves: Floats,
    pictures: Sequence[Judged], folder: Path, names: Names, min_score: float,
) -> str:
    """The page as HTML: figures of each class, precision over recall, the confusion matrix, and the
    worst pictures (`Judged.faults`) with what is there and what was found.

    facts: lines under the title. curves: (R,K) precision at IoU 0.5 at R recalls from 0 to 1, of each
    class of `names`, -1 where there is nothing to find. folder: of the pictures.
    """
    counts = confusion(pictures, len(names))
    worst = sorted(pictures, key=lambda p: -p.faults)[:_WORST]
    lines = "<br>".join(f"{escape(k)}: {escape(v)}" for k, v in facts.items())
    key = "".join(
        f'<span class="key" style="border-color:{colour};border-top-style:{line}"></span>{told}'
        for colour, line, told in _KINDS.values()
    )
    return "\n".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p>{lines}</p>",
        "<h2>Average precision</h2>",
        f"<p>COCO's: IoU 0.50 to 0.95, at most 100 boxes a picture. Precision and recall: of the boxes "
        f"from a score of {min_score:g}, the model's threshold, on an object from an IoU of {MIN_IOU:g}.</p>",
        _table(figures, counts, names),
        "<h2>Precision over recall</h2>",
        f"<p>At IoU {MIN_IOU:g}: a line for each class (point at it for its name), and their mean.</p>",
        _plot(curves, names),
        "<h2>Confusion</h2>",
        "<p>Rows: what is there. Columns: what was found. Last column: missed; last row: found on nothing. "
        "The darker, the larger the share of its row.</p>",
        _matrix(counts, names),
        f"<h2>The {len(worst)} worst pictures</h2>",
        "<p>Most faults first: one for each object that is not found as what it is, and for each "
        "box that is not right its score.</p>",
        f"<p>{key}</p>",
        '<div class="grid">', *(_figure(p, folder, names) for p in worst), "</div></body></html>\n",
    ])


def _table(figures: AveragePrecision, counts: npt.NDArray[np.int64], names: Names) -> str:
    def row(name: str, ap: float, ap50: float, right: int, there: int, found: int) -> str:
        shares = [right / n if n else float("nan") for n in (found, there)]
        numbers = [f"{value:.3f}".replace("nan", "-") for value in (ap, ap50, *shares)]
        cells = [*numbers, str(there), str(found)]
        return f"<th>{escape(name)}</th>" + "".join(f"<td>{cell}</td>" for cell in cells)

    right, there, found = np.diag(counts)[:-1], counts.sum(axis=1)[:-1], counts.sum(axis=0)[:-1]
    per_class = np.stack([right, there, found], axis=1).tolist()
    rows = [row(name, *figures.classes[name], *c) for name, c in zip(names, per_class, strict=True)]
    everything = row("all", figures.ap, figures.ap50, *map(sum, zip(*per_class, strict=True)))
    heads = "".join(f"<th>{h}</th>" for h in ("", "AP", "AP50", "precision", "recall", "objects", "boxes"))
    return (
        f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(f'<tr>{r}</tr>' for r in rows)}"
        f'<tr class="all">{everything}</tr></tbody></table><p>AP75 {figures.ap75:.3f}. AP of objects under '
        f"32² pixels {figures.small:.3f}, under 96² {figures.medium:.3f}, larger {figures.large:.3f}.</p>"
    )


def _plot(curves: Floats, names: Names) -> str:
    width, height, left, top = 620, 400, 44, 10
    there = np.flatnonzero(np.all(curves >= 0, axis=0)).tolist()

    def line(values: Floats, name: str, kind: str) -> str:
        xs = left + np.linspace(0, 1, len(values)) * (width - left - 10)
        ys = top + (1 - values) * (height - top - 40)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        return f'<polyline class="{kind}" points="{points}"><title>{escape(name)}</title></polyline>'

    bottom, right = height - 40, width - 10
    ticks = "".join(
        f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="#eee"/>'
        f'<text x="{left - 8}" y="{y + 4}" font-size="12" text-anchor="end" fill="#666">{t:.1f}</text>'
        f'<text x="{x}" y="{bottom + 18}" font-size="12" text-anchor="middle" fill="#666">{t:.1f}</text>'
        for t in np.linspace(0, 1, 6)
        for x, y in [(left + t * (right - left), top + (1 - t) * (bottom - top))]
    )
    lines = [line(curves[:, k], name, "curve") for k, name in enumerate(names) if k in there]
    if there:
        lines.append(line(curves[:, there].mean(axis=1), "mean", "curve mean"))
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}">{ticks}{"".join(lines)}'
        f'<text x="{(left + right) / 2}" y="{height - 4}" font-size="13" text-anchor="middle">recall</text>'
        f'<text transform="translate(11 {(top + bottom) / 2}) rotate(-90)" font-size="13" '
        'text-anchor="middle">precision</text></svg>'
    )


def _matrix(counts: npt.NDArray[np.int64], names: Names) -> str:
    everything = [*names, "background"]
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))

    def cell(i: int, j: int) -> str:
        share, count = shares[i, j], counts[i, j]
        hue = "31,95,168" if i == j else "200,70,40"
        ink = "#fff" if share > 0.55 else "#222"
        told = f"{everything[i]} found as {everything[j]}: {count} ({share:.0%})"
        return (f'<td style="background:rgba({hue},{share:.2f});color:{ink}" title="{escape(told)}">'
                f"{count or ''}</td>")

    head = "".join(f"<th>{escape(name)}</th>" for name in everything)
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(cell(i, j) for j in range(len(everything)))}</tr>"
        for i, name in enumerate(everything)
    )
    return f'<table class="confusion"><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _figure(picture: Judged, folder: Path, names: Names) -> str:
    with read(folder / picture.file_name, max_frames=1) as source:
        image = next(source).image
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    data = base64.b64encode(jpeg.tobytes()).decode()
    size = max(width, height) / 36                                   # of the letters, in its pixels

    def box(xyxy: Floats, kind: str, text: str) -> str:
        left, top, right, bottom = (float(v) for v in xyxy)
        colour, line, told = _KINDS[kind]
        rect = (
            f'<rect class="box" stroke="{colour}" stroke-dasharray="{_DASHES[line]}" x="{left:.1f}" '
            f'y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}">'
            f"<title>{escape(text)} ({told})</title></rect>"
        )
        if kind in ("right", "difficult"):                           # their names would only be in the way
            return rect
        return rect + (
            f'<text x="{max(0.0, left):.1f}" y="{max(size, top - size / 4):.1f}" font-size="{size:.1f}" '
            f'fill="{colour}" stroke="#fff" stroke-width="{size / 5:.1f}" paint-order="stroke">'
            f"{escape(text)}</text>"
        )

    objects, found = picture.labels, picture.found
    boxes = [box(picture.boxes[i], "difficult", names[objects[i]]) for i in np.flatnonzero(picture.difficult)]
    boxes += [box(picture.boxes[i], "missed", names[objects[i]]) for i in picture.missed]
    for (i, j), right in zip(picture.pairs, picture.right, strict=True):
        told = f"{names[found.labels[j]]} {found.scores[j]:.2f}"
        kind, told = ("right", told) if right else ("wrong", f"{told}, is {names[objects[i]]}")
        boxes.append(box(found.boxes[j], kind, told))
    boxes += [
        box(found.boxes[j], "false", f"{names[found.labels[j]]} {found.scores[j]:.2f}") for j in picture.false
    ]
    return (
        f'<figure><svg viewBox="0 0 {width} {height}"><image width="{width}" height="{height}" '
        f'href="data:image/jpeg;base64,{data}"/>{"".join(boxes)}</svg><figcaption>'
        f"{escape(picture.file_name)}: {picture.faults:.2f} faults</figcaption></figure>"
    )
