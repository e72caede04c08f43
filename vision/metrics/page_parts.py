"""What the pages of an evaluation share: their look, a confusion matrix that one clicks, small pictures."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from html import escape

import cv2
import numpy as np
import numpy.typing as npt

from vision.types import Image, Names

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1120px; margin: 2em auto }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.15em; margin-top: 2.2em } p { max-width: 60em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .15em .7em; text-align: right;
font-weight: normal } thead th { color: #666 } tbody th { text-align: left } tbody tr:hover { background: #f4f4f4 }
.confusion { font-size: 12px } .confusion td { padding: 0; width: 30px; height: 24px; text-align: center }
.confusion td[data-at] { cursor: pointer } .confusion td.chosen { outline: 2px solid #d1495b }
.confusion thead th { writing-mode: vertical-rl; transform: rotate(180deg); padding: .4em 0; text-align: left }
.grid { display: flex; flex-wrap: wrap; gap: .8em } figure { margin: 0 } figure img { display: block }
#cell { margin-top: 1em } figcaption { font-size: 12px; color: #555; overflow-wrap: anywhere }
"""


def head(title: str, facts: Mapping[str, str], style: str) -> str:
    """The beginning of a page: its title, and under it lines of facts. style: CSS beside `STYLE`."""
    lines = "<br>".join(f"{escape(name)}: {escape(value)}" for name, value in facts.items())
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            f"<style>{STYLE}{style}</style></head><body><h1>{escape(title)}</h1><p>{lines}</p>")


def matrix(counts: npt.NDArray[np.int64], names: Names, shown: Callable[[int, float], str]) -> str:
    """A confusion matrix (C,C), a row a true class, as a table whose cells name their row and column in `data-at`:
    the darker, the larger the share of the row. Classes that neither rows nor columns have are left out.
    shown: what a cell says, of its count and its share of the row, 0..1."""
    there = [i for i in range(len(names)) if counts[i].any() or counts[:, i].any()]
    across = "".join(f"<th>{escape(names[i])}</th>" for i in there)
    rows = []
    for t in there:
        shares = counts[t] / max(1, int(counts[t].sum()))
        cells = "".join(
            f'<td data-at="{t} {f}" style="background:rgba({"42,157,58" if t == f else "209,73,91"},'
            f'{shares[f]:.2f})" title="{escape(names[t])} as {escape(names[f])}">'
            f"{shown(int(counts[t, f]), float(shares[f]))}</td>"
            for f in there)
        rows.append(f"<tr><th>{escape(names[t])}</th>{cells}</tr>")
    return f'<table class="confusion"><thead><tr><th></th>{across}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def fitted(image: Image, side: int) -> Image:
    """A picture (H,W,3) with a longer side of `side` pixels at most."""
    ratio = min(1.0, side / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def inlined(image: Image, lossless: bool = False) -> str:
    """A picture (H,W,3) uint8 BGR as the address of itself: JPEG, or PNG."""
    kind, how = ("png", []) if lossless else ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, 80])
    data = cv2.imencode(f".{kind}", image, how)[1].tobytes()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
