"""The house: no file and no function is too long. Floors and circles: `[tool.importlinter]`, run by `make test`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "vision"
FILES = sorted(ROOT.rglob("*.py"))
# functions over 60 lines that a reader prefers whole; why
LONG = {
    "cli/eval/pictures.py:detect": "an option a parameter",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_at_most_400_lines_and_a_function_60(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    name = str(path.relative_to(ROOT))
    long = [
        f"{name}:{node.name}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert set(long) <= set(LONG)
