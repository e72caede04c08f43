"""Whole documents with something odd in them: what a format's own grammar lets through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

# words in a document that stand for what no plain value is; `written` puts it there
_DEEP, _LONG = "@deep@", "@long@"
_TEXTS = (
    "", " ", "\x1b[31mred\x1b[0m", "a\nb", "\u202egnp", "\ud800", "[b]x[/b]", "=1+1", "../../etc/passwd", "/etc/passwd",
    "detect", "none", "True", "1e999", "x" * 5000, "\0", "http://127.0.0.1:1/x", _DEEP, _LONG,
)

odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(_TEXTS),
    st.sampled_from([-1, 0, 2 ** 31, 2 ** 63, 2 ** 64, 10 ** 30, 10 ** 400, 1e308, -1e308, 1e-320]),
    st.sampled_from([[], {}, [[]], [{}], {"": 0}, [None], [1, 2], [0.5] * 4, [[1, 2]] * 5, {"array": 0}, {"map": []}]),
    st.lists(st.integers(-5, 5), max_size=5), st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in a document with each of its keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


@st.composite
def documents(draw: Any, whole: Any) -> Any:
    """`whole` with up to four of its values replaced, taken away, repeated, or new ones beside them."""
    root = {"root": deepcopy(whole)}
    for _ in range(draw(st.integers(0, 4))):
        places = list(_places(root))
        if not places:
            break
        owner, key = places[draw(st.integers(0, len(places) - 1))]
        action = draw(st.sampled_from(["replace", "replace", "remove", "repeat", "add", "swap"]))
        if action == "replace" or owner is root:
            owner[key] = deepcopy(draw(odd))
        elif action == "remove":
            del owner[key]
        elif action == "repeat" and isinstance(owner, list):
            owner[key:key] = [deepcopy(owner[key]) for _ in range(draw(st.integers(1, 3)))]
        elif action == "add" and isinstance(owner, dict):
            owner[draw(st.text(max_size=8))] = deepcopy(draw(odd))
        else:
            other, place = places[draw(st.integers(0, len(places) - 1))]
            owner[key] = deepcopy(other[place])
    return root["root"]


def written(text: str, brackets: str = "[]") -> bytes:
    """A document's text as bytes, with what its words stand for."""
    deep = brackets[0] * 20_000 + brackets[1] * 20_000
    text = text.replace(f'"{_DEEP}"', deep).replace(f'"{_LONG}"', "9" * 5000)
    return text.encode("utf-8", errors="surrogatepass")


def as_json(value: Any) -> str:
    """One line of JSON, NaN and infinity as Python writes them."""
    return json.dumps(value)


def as_json_lines(value: Any) -> str:
    """A line of JSON for each of the values."""
    return "".join(json.dumps(one) + "\n" for one in value) if isinstance(value, list) else json.dumps(value)


def as_toml(value: Any) -> str:
    """TOML, with tables and lists within lines; what TOML does not have is left out."""
    if not isinstance(value, dict):
        return f"x = {_toml(value)}\n"
    return "".join(f"{json.dumps(key)} = {_toml(one)}\n" for key, one in value.items() if one is not None)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items() if one is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value if one is not None) + "]"
    if isinstance(value, float) and not isinstance(value, bool):
        return repr(value)
    return "0" if value is None else json.dumps(value)


def as_xml(value: Any) -> str:
    """XML: a mapping's keys are elements, a list repeats the one it lies under."""
    return "".join(_xml(key, one) for key, one in value.items()) if isinstance(value, dict) else str(value)


def _xml(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_xml(name, one) for one in value)
    inner = as_xml(value) if isinstance(value, dict) else str(value)
    return f"<{name}>{inner}</{name}>"


def as_rows(separator: str) -> Any:
    """Lists of lists as lines of text."""
    def text(value: Any) -> str:
        rows = value if isinstance(value, list) else [value]
        return "\n".join(separator.join(map(str, row)) if isinstance(row, list) else str(row) for row in rows)
    return text
