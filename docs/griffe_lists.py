"""Docstrings as pages: lines such as `image: (H,W,3) uint8 BGR.` become a list, and a spec shows its options."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

import vision
from vision.spec import Described

_LINE = re.compile(r"^((?:[a-z_]\w*)(?:, [a-z_]\w*)*): (?=\S)")
_SECOND = re.compile(r"(?<=[.)]) ((?:[a-z_]\w*)(?:, [a-z_]\w*)*): (?=\S)")


def as_lists(text: str) -> str:
    """The text with every `name: meaning` line as a member of a list."""
    made: list[str] = []
    listed = False
    for line in textwrap.dedent(text).split("\n"):
        if match := _LINE.match(line):
            if not listed:
                made.append("")
            listed = True
            line = _LINE.sub(lambda m: f"- `{m[1]}`: ", line)
        elif line and not line.startswith(" ") and listed and not match:
            if made and made[-1]:
                line = f"  {line}" if made[-1].lstrip().startswith(("- ", " ")) and line[0].islower() else f"\n{line}"
            listed = line.startswith("  ")
        made.append(_SECOND.sub(lambda m: f"\n- `{m[1]}`: ", line) if listed else line)
    return "\n".join(made)


class Lists(griffe.Extension):
    """What mkdocstrings asks for: see the module."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called with every class, function and attribute that is loaded."""
        if obj.docstring is None:
            return
        kind = getattr(vision, obj.name, None) if obj.is_class else None
        if isinstance(kind, type) and issubclass(kind, Described) and kind.__module__ == obj.module.path:
            obj.docstring.value = kind.__doc__ or ""
        obj.docstring.value = as_lists(obj.docstring.value)
