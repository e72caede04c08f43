"""A network, or two side by side, as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vision.inspect.layers import Layer, Network

_ROW, _LANE, _LEFT = 26, 16, 14            # pixels
_COLOURS = {
    "Conv": "#1f5fa8", "ConvTranspose": "#1f5fa8", "Gemm": "#8a3fb0", "MatMul": "#8a3fb0", "MaxPool": "#d1495b",
    "AveragePool": "#d1495b", "GlobalAveragePool": "#d1495b", "ReduceMean": "#d1495b", "Concat": "#2a9d3a",
    "Add": "#e08a00", "Mul": "#e08a00",
}
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #222; margin: 1.5em } h1 { font-size: 1.4em; margin: 0 }
.nets { display: flex; gap: 3em; align-items: flex-start } .net { flex: none }
dl { display: grid; grid-template-columns: auto auto; gap: 0 1em; width: max-content; margin: .6em 0 }
dt { color: #666 } dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums }
.graph { display: flex } svg { flex: none } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { height: ROWpx; padding: 0 .6em; text-align: right; white-space: nowrap; font-weight: normal; font-size: 13px }
thead th { color: #666; position: sticky; top: 0; background: #fff }
tr > :first-child, tr > :nth-child(2) { text-align: left }
tbody tr:hover, tbody tr.near { background: #eef3fa } tbody tr.here { background: #d7e5f7 }
.share { background: linear-gradient(to left, #f6c9a8 var(--of), transparent var(--of)) }
path { fill: none; stroke: #b5bfcc; stroke-width: 1.5 } path.near { stroke: #d1495b; stroke-width: 2.5 }
small { color: #777 }
""".replace("ROW", str(_ROW))
_SCRIPT = """
for (const net of document.querySelectorAll('.net')) {
  const rows = [...net.querySelectorAll('tbody tr')], edges = [...net.querySelectorAll('path')];
  const mark = place => {
    for (const each of [...rows, ...edges]) each.classList.remove('near', 'here');
    if (place === undefined) return;
    rows[place].classList.add('here');
    for (const edge of edges) {
      const [from, to] = edge.dataset.of.split(' ');
      if (from == place || to == place) {
        edge.classList.add('near');
        rows[from == place ? to : from]?.classList.add('near');
      }
    }
  };
  rows.forEach((row, place) => row.onmouseenter = () => mark(place));
  net.onmouseleave = () => mark();
}
"""


def page(networks: Sequence[Network], note: str = "") -> str:
    """The page as HTML. Of each layer, in the order in which they run: what it takes its input from, its output's
    shape, kernel, parameters, multiply-adds, memory, receptive field and stride, and its time where it was measured.

    networks: one, or two to compare. note: a line under the title.
    """
    title = " and ".join(network.title for network in networks)
    return "\n".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<p><small>{escape(note)}</small></p>" if note else "",
        '<div class="nets">', *(_network(network) for network in networks), "</div>",
        f"<script>{_SCRIPT}</script></body></html>\n",
    ])


def _network(network: Network) -> str:
    facts = {
        "input": " x ".join(map(str, network.shape)), "layers": str(len(network.layers)),
        "parameters": f"{network.parameters:,}", "multiply-adds": f"{network.macs / 1e6:,.1f} M",
        "memory of all outputs": f"{network.memory / 2**20:,.1f} MiB",
        **({"time, one thread": f"{network.ms:,.1f} ms"} if network.ms is not None else {}),
    }
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    heads = ["layer", "what", "output", "kernel", "parameters", "M mult-adds", "KiB", "sees", "stride", "ms"]
    head = "".join(f"<th>{name}</th>" for name in heads)
    rows = "\n".join(_row(layer, network) for layer in network.layers)
    return (f'<div class="net"><h1>{escape(network.title)}</h1><dl>{listed}</dl><div class="graph">{_graph(network)}'
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></div>")


def _row(layer: Layer, network: Network) -> str:
    def share(text: str, value: float, whole: float) -> str:
        return f'<td class="share" style="--of:{100 * value / whole if whole else 0:.1f}%">{text}</td>'

    cells = [escape(cell) for cell in words(layer)]
    ms = network.ms or 0.0
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells[:4]) + share(
        cells[4], layer.parameters, network.parameters) + share(cells[5], layer.macs, network.macs) + share(
        cells[6], layer.memory, network.memory) + "".join(f"<td>{cell}</td>" for cell in cells[7:9]) + share(
        cells[9], layer.ms or 0.0, ms) + "</tr>"


def words(layer: Layer) -> list[str]:
    """A layer's row, for the page and for the terminal."""
    def sides(values: Sequence[int]) -> str:
        return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))

    kinds = [kind for kind in layer.kinds if kind not in ("Cast", "Identity")] or layer.kinds
    kernel = f"{'x'.join(map(str, layer.kernel))}" + (f" /{sides(layer.stride)}" if max(layer.stride) > 1 else "") + (
        f", {layer.groups} groups" if layer.groups > 1 else "") if layer.kernel else ""
    return [
        layer.name, ", ".join(dict.fromkeys(kinds)), " x ".join(map(str, layer.shape[1:])), kernel,
        f"{layer.parameters:,}" if layer.parameters else "", f"{layer.macs / 1e6:,.2f}" if layer.macs else "",
        f"{layer.memory / 1024:,.0f}", "all" if layer.sees is None else str(layer.sees),
        "" if layer.jump is None else f"{layer.jump:g}", "" if layer.ms is None else f"{layer.ms:.2f}",
    ]


def lanes(network: Network) -> list[int]:
    """A column for each layer, so that what runs beside each other stands beside each other: a layer goes on in the
    column of the first whose output it takes, if that is free, else in the first free one."""
    last_use = dict.fromkeys(range(-1, len(network.layers)), -1)
    for place, layer in enumerate(network.layers):
        for came in layer.inputs:
            last_use[came] = place
    held: dict[int, int] = {0: -1}                       # column -> the layer whose output runs down in it
    columns: list[int] = []
    for place, layer in enumerate(network.layers):
        held = {column: of for column, of in held.items() if last_use[of] >= place}
        done = [column for column, of in sorted(held.items()) if of in layer.inputs and last_use[of] == place]
        column = done[0] if done else next(c for c in range(len(held) + 1) if c not in held)
        held[column] = place
        columns.append(column)
    return columns


def _graph(network: Network) -> str:
    columns = lanes(network)

    def at(place: int) -> tuple[int, int]:
        return (_LEFT + _LANE * (columns[place] if place >= 0 else 0), _ROW * (place + 1) + _ROW // 2)

    edges, dots = [], []
    for place, layer in enumerate(network.layers):
        x, y = at(place)
        for came in layer.inputs:
            left, top = at(came)
            bend = f"M{left} {top}V{y - _ROW}C{left} {y - 8} {x} {y - 18} {x} {y}" if came >= 0 and place - came > 1 \
                else f"M{left} {top}C{left} {top + 12} {x} {y - 12} {x} {y}"
            edges.append(f'<path data-of="{came} {place}" d="{bend}"/>')
        dots.append(f'<circle cx="{x}" cy="{y}" r="5" fill="{_COLOURS.get(layer.kinds[0], "#8a94a3")}">'
                    f"<title>{escape(layer.name)}</title></circle>")
    width = _LEFT + _LANE * (max(columns, default=0) + 1)
    height = _ROW * (len(network.layers) + 1)
    return f'<svg width="{width}" height="{height}">{"".join(edges)}{"".join(dots)}</svg>'
