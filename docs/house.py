"""A drawing of the house: which room imports which, floor by floor, as SVG.

    python docs/house.py house.svg

Floors come from `[tool.importlinter]` in pyproject.toml, imports from the code. A floor's rooms stand side by side, as
wide as they have lines; an arrow ends at what is imported. Pointing at a room shows its own arrows alone.
"""

from __future__ import annotations

import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
WIDTH, FLOOR, HEIGHT, GAP = 1000, 90, 36, 10        # of the drawing, a floor, a room, and between rooms; pixels
STYLE = """
.house text { font: 13px system-ui, sans-serif; text-anchor: middle; dominant-baseline: central; fill: #1c2733; }
.house rect { fill: #dfe8f2; stroke: #6d88a6; rx: 4; }
.house path { fill: none; stroke: #8296ab; stroke-opacity: .28; }
.house g:hover rect { fill: #ffd9a0; stroke: #b3690a; }
.house:has(g:hover) path { stroke-opacity: .04; }
.house g:hover path { stroke: #d2691e; stroke-opacity: 1; stroke-width: 1.6; }
"""


def floors() -> list[list[str]]:
    """The rooms of each floor, from the top: those that are there."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = [c["layers"] for c in config["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    named = [[room.strip(" ()") for room in layer.split(":")] for layer in layers]
    return [[room for room in floor if lines(room)] for floor in named]


def lines(room: str) -> int:
    """How many lines a room has: a file, or a folder with all below it."""
    path = ROOT / "vision" / room
    files = path.rglob("*.py") if path.is_dir() else filter(Path.is_file, [path.with_suffix(".py")])
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def arrows() -> dict[str, set[str]]:
    """Room -> the rooms that it imports, those inside functions too; not what type checkers alone read."""
    graph = grimp.build_graph("vision", exclude_type_checking_imports=True, cache_dir=None)
    found = defaultdict(set)
    for module in graph.modules:
        for target in graph.find_modules_directly_imported_by(module):
            here, there = ([*name.split("."), ""][1] for name in (module, target))
            if here and there and here != there:
                found[here].add(there)
    return found


def draw() -> str:
    """The SVG."""
    place: dict[str, tuple[float, float, float]] = {}               # left, top, width
    plan = floors()
    for number, rooms in enumerate(plan):
        wide = {room: 24 + 6.4 * len(room) + lines(room) ** 0.5 * 0.5 for room in rooms}
        scale = min(1.0, (WIDTH - GAP * (len(rooms) + 1)) / sum(wide.values()))
        left = (WIDTH - scale * sum(wide.values()) - GAP * (len(rooms) - 1)) / 2
        for room in rooms:
            place[room] = left, 12 + number * FLOOR, wide[room] * scale
            left += wide[room] * scale + GAP
    imports = arrows()
    parts = []
    for room, (left, top, width) in place.items():
        paths = "".join(_arrow(place[room], place[other]) for other in sorted(imports[room]) if other in place)
        parts.append(
            f'<g>{paths}<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{HEIGHT}"/>'
            f'<text x="{left + width / 2:.0f}" y="{top + HEIGHT / 2}">{room}</text>'
            f"<title>{room}: {lines(room)} lines, imports {', '.join(sorted(imports[room])) or 'nothing'}</title></g>"
        )
    first = min(left for left, _, _ in place.values()) - 12
    last = max(left + width for left, _, width in place.values()) + 12
    height = len(plan) * FLOOR - FLOOR + HEIGHT + 36
    box = f"{first:.0f} 0 {last - first:.0f} {height}"
    return (f'<svg class="house" xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" '
            f'aria-label="Imports between the rooms"><style>{STYLE}</style>{"".join(parts)}</svg>')


def _arrow(here: tuple[float, float, float], there: tuple[float, float, float]) -> str:
    """From the bottom of a room to the top of one below; between neighbours, an arc under their floor."""
    x, u = here[0] + here[2] / 2, there[0] + there[2] / 2
    y = here[1] + HEIGHT
    if here[1] == there[1]:
        return f'<path d="M{x:.0f} {y} C{x:.0f} {y + 28} {u:.0f} {y + 28} {u:.0f} {y}"/>'
    middle = (y + there[1]) / 2
    return f'<path d="M{x:.0f} {y} C{x:.0f} {middle:.0f} {u:.0f} {middle:.0f} {u:.0f} {there[1]}"/>'


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(), encoding="utf-8")
