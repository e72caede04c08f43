"""The house: no file is too long, no module lies in a circle of imports, and the floors hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "vision"
FILES = sorted(ROOT.rglob("*.py"))
# from the top; a room may import those on its own floor and below
FLOORS = (
    ("cli", "__main__"),
    ("run", "stream", "sample", "checkpoint", "writer", "windows", "tally"),
    ("steps", "sinks", "train", "metrics", "item", "report"),
    ("tasks", "people", "tracking", "io", "data"),
    ("zoo", "published", "drawing", "chart"),
    ("weights", "engine"),
    ("types", "view", "record", "spec", "state"),
    ("nets", "boxes", "errors", "card", "files"),
)


def module(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in FILES}


def imports(path: Path, *, lazy: bool) -> Iterator[str]:
    """What a file imports of this package, without what only a type checker reads. lazy: in functions too."""
    def walk(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
        for node in nodes:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            yield node
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not lazy:
                continue
            for field in ("body", "orelse", "finalbody"):
                yield from walk(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from walk(handler.body)

    for node in walk(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vision"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in MODULES or node.module in MODULES:
                    yield inner if inner in MODULES else str(node.module)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_no_module_lies_in_a_circle_of_imports() -> None:
    arrows = {name: set(imports(path, lazy=False)) - {name, "vision"} for name, path in MODULES.items()}
    circles = []
    for start in arrows:
        seen, front = set(), set(arrows[start])
        while front:
            seen |= front
            front = {target for name in front for target in arrows[name]} - seen
        if start in seen:
            circles.append(start)
    assert circles == []


def test_arrows_between_the_floors_run_downwards() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for name, path in MODULES.items():
        room = name.split(".")[1] if "." in name else ""
        for target in imports(path, lazy=True):
            other = target.split(".")[1] if "." in target else ""
            if room and other and floor[other] < floor[room]:
                wrong.append(f"{name} -> {target}")
    assert wrong == []
