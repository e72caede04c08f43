"""What the pages read off the code when they are built: tables of options, models, outputs; the drawing of the house.

A page has a line such as `<!-- options detect -->`; it becomes a table of what the code says at that moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING
from typing import Any

import house  # beside this file
from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

from vision import weights, zoo
from vision.sinks import SINKS
from vision.spec import Field, options
from vision.steps import TASKS, find_task


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _kind(field: Field) -> str:
    if field.choices:
        return ", ".join(f"`{choice}`" for choice in field.choices)
    if field.is_path:
        return "path"
    name = getattr(field.type, "__name__", "")
    return {"tuple": "texts", "str": "text", "bool": "yes or no", "int": "whole number", "float": "number"}.get(
        name, "name, path or model")


def _default(field: Field) -> str:
    if field.default is MISSING:
        return "must be given"
    return "" if field.default in (None, (), "") else f"`{field.default}`"


def _row(field: Field) -> tuple[str, ...]:
    flag = field.option.flags[0] if field.option.flags else f"--{field.name.replace('_', '-')}"
    python = "" if field.name == flag.strip("-").replace("-", "_") else f" (Python: `{field.name}`)"
    low, high = field.option.min, field.option.max
    limits = [f"at least {low:g}"] if low is not None and field.option.unit != "0..1" else []
    limits += [f"at most {high:g}"] if high is not None and field.option.unit != "0..1" else []
    kind = ", ".join(filter(None, [_kind(field), field.option.unit, *limits]))
    return f"`{flag}`{python}", kind, _default(field), field.option.help


def option_table(task: str) -> str:
    """The options of a task, as its spec has them. In Python a field has the option's name, with underscores."""
    fields = [field for field in options(find_task(task).spec) if field.name != "key"]
    return _table(("option", "is", "default", "meaning"), map(_row, fields))


def model_table(task: str) -> str:
    """The models of a task that ship, with what was measured."""
    rows = []
    for name, card in zoo.CARDS.items():
        lies = weights.locate(card)
        if card.task != task or lies is None or lies[0] != "shipped":
            continue
        default = " (default)" if name == zoo.DEFAULTS.get(task) else ""
        figures = "; ".join(f"{precision} {', '.join(f'{metric} {value:.3f}' for metric, value in found.items())}"
                            for precision, found in card.figures.items())
        figures += f" ({card.measured_on})" if card.measured_on else ""
        size = f"{lies[1].stat().st_size / 1e6:.1f} MB"
        rows.append((f"`{name}`{default}", size, figures or "none", card.licence, card.use))
    return _table(("model", "size", "measured", "licence", "use"), rows)


def output_table(_: str) -> str:
    """The outputs, as their specs have them."""
    rows = []
    for name, kind in SINKS.items():
        first = next((field for field in options(kind)), None)
        named = first.option if first and first.option.flags else None
        flag = ", ".join(named.flags) if named else f"--{name}"
        meaning = named.help if named else (kind.__doc__ or "").split("\n")[0]
        rows.append((f"`{flag}`", f"[`{kind.__name__}`][vision.{kind.__name__}]", kind.of or "any", meaning))
    return _table(("command line", "Python", "task", "what it writes"), rows)


def task_table(_: str) -> str:
    """The tasks, each with its page."""
    rows = []
    for name, row in TASKS.items():
        says = (row.spec.__doc__ or "").split("\n")[0]
        rows.append((f"[`vision {name}`]({name}.md)", f"`{row.spec.__name__}`", f"`{row.spec.result.__name__}`", says))
    return _table(("command", "spec", "result", "what it does"), rows)


MARKS: dict[str, Callable[[str], str]] = {
    "options": option_table, "models": model_table, "outputs": output_table, "tasks": task_table,
    "house": lambda _: house.draw(),
}


class _Fill(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        """The page with every mark filled in."""
        def fill(match: re.Match[str]) -> str:
            filled = MARKS[match[1]](match[2] or "")
            return self.md.htmlStash.store(filled) if filled.startswith("<") else filled

        return re.sub(r"<!-- (\w+)(?: ([\w:-]+))? -->", fill, "\n".join(lines)).split("\n")


class Tables(Extension):
    """The Markdown extension: see the module."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Called by Markdown."""
        md.preprocessors.register(_Fill(md), "tables", 28)          # before HTML and tables are looked for


def makeExtension(**_: Any) -> Extension:
    """Called by Markdown."""
    return Tables()
