"""Records as columns: Parquet files with types of `record.schema.json`, and records back out of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from vision.errors import DataError, MissingExtra

_ROWS = 4096                                     # of a group: what is in memory at a time
_HEAD = ("schema", "kind", "source", "frame", "time_s", "stamp_ns", "gap_s", "size")
_NULLS = "nulls"
Put = Callable[[Any], Any]


@dataclass(frozen=True)
class Column:
    """How a value lies in a file. type: Arrow's. put: from a record's value. take: back. null: whether a record may say
    null, which lies there as nothing does."""

    type: Any
    put: Put
    take: Put
    null: bool = False


def write(lines: Path, path: Path, tasks: Mapping[str, str]) -> None:
    """Records as JSON lines into a Parquet file, a row each. tasks: of each key of the records.

    A task that the schema does not know, one of your own, is a column of JSON text. Raises DataError for a record that
    is not as the schema has it, MissingExtra without pyarrow."""
    arrow()
    import pyarrow.parquet

    columns = columns_of(tasks)
    schema = pyarrow.schema([(name, one.type) for name, one in columns.items()])
    meta = {b"vision.tasks": json.dumps(dict(tasks)).encode()}
    with lines.open(encoding="utf-8") as file, \
            pyarrow.parquet.ParquetWriter(path, schema.with_metadata(meta), compression="zstd") as out:
        while several := [json.loads(line) for line in islice(file, _ROWS)]:
            for unknown in {key for one in several for key in one} - set(columns):
                raise DataError(f"records have {unknown!r}, which is no column of theirs: {', '.join(columns)}.")
            out.write_table(pyarrow.table(
                {name: pyarrow.array([_or_none(one.get(name), column.put) for one in several], column.type)
                 for name, column in columns.items()}, schema.with_metadata(meta)))


def records(path: str | Path, files: Any = None) -> Iterator[dict[str, Any]]:
    """The records of a Parquet file that `vision run --format parquet` wrote, as they are in JSON lines.

    path: the file. files: fsspec's file system that it is in; this machine's unless given. Raises DataError for another
    file."""
    package = arrow()
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path if files is None else files.open(str(path), "rb"))
        tasks = json.loads((file.schema_arrow.metadata or {})[b"vision.tasks"])
    except (package.ArrowInvalid, KeyError) as error:
        raise DataError(f"{str(path)!r} holds no records of vision: {error}") from error
    columns = columns_of(tasks)
    with file:
        for batch in file.iter_batches(_ROWS):
            for row in batch.to_pylist():
                yield {name: columns[name].take(value) for name, value in row.items() if value is not None}


def columns_of(tasks: Mapping[str, str]) -> dict[str, Column]:
    """The columns of records, by name. tasks: of each key."""
    defs = _definitions()
    known: dict[str, Any] = {**defs["gap_line"]["properties"], **defs["frame_line"]["properties"]}
    columns = {name: _column(known[name]) for name in _HEAD}
    for key, task in tasks.items():
        columns[key] = _column(known.get(task, {}))
    return columns


def _column(node: Mapping[str, Any]) -> Column:
    """The column for a part of the schema."""
    types, node = arrow(), _whole(node)
    kinds = node.get("type", ())
    null = node.get("nullable", False) or (isinstance(kinds, list) and "null" in kinds)
    kind = kinds if isinstance(kinds, str) else next((one for one in kinds if one != "null"), "")
    if "const" in node or "enum" in node:
        value = node.get("const", next(iter(node.get("enum", ()))) if "enum" in node else None)
        kind = "integer" if isinstance(value, int) else "string"
    if kind in ("integer", "number", "boolean"):
        plain = {"integer": types.int64(), "number": types.float64(), "boolean": types.bool_()}[kind]
        return Column(plain, float if kind == "number" else _same, _same, null)
    if kind == "string":
        return Column(types.string(), _text, _same, null)
    if kind == "array" and "items" in node:
        inner = _column(node["items"])
        return Column(types.list_(inner.type), lambda values: [_or_none(one, inner.put) for one in values],
                      lambda values: [_or_none(one, inner.take) for one in values], null)
    if kind == "object" and "properties" in node:
        return _struct(node, null)
    if kind == "object" and isinstance(node.get("additionalProperties"), Mapping):
        inner = _column(node["additionalProperties"])
        return Column(types.map_(types.string(), inner.type),
                      lambda values: [(_text(key), inner.put(one)) for key, one in values.items()],
                      lambda pairs: {key: inner.take(one) for key, one in pairs}, null)
    return Column(types.string(), lambda value: _text(json.dumps(value, ensure_ascii=False)), json.loads, null)


def _struct(node: Mapping[str, Any], null: bool) -> Column:
    """An object with fields. Where one of them may be null and may not be there, those that were null are named."""
    inner = {name: _column(one) for name, one in node["properties"].items()}
    always = {name for name in node.get("required", ()) if inner[name].null}
    unsure = {name for name, one in inner.items() if one.null} - always
    types = [(name, one.type) for name, one in inner.items()]
    if unsure:
        types.append((_NULLS, arrow().list_(arrow().string())))

    def put(value: Mapping[str, Any]) -> dict[str, Any]:
        for unknown in value.keys() - inner.keys():
            raise DataError(f"a record has {unknown!r}, which its schema does not: {', '.join(inner)}.")
        nulls = [name for name in value.keys() & unsure if value[name] is None]
        return {_NULLS: nulls, **{name: _or_none(value.get(name), inner[name].put) for name in inner}}

    def take(value: dict[str, Any]) -> dict[str, Any]:
        nulls = always.union(value.pop(_NULLS, ()))
        return {name: _or_none(one, inner[name].take) for name, one in value.items()
                if one is not None or name in nulls}

    return Column(arrow().struct(types), put, take, null)


def _whole(node: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the schema with what it refers to, and with its alternatives as one: what each of them has."""
    node = dict(node)
    if "$ref" in node:
        node = {**_definitions()[node.pop("$ref").rsplit("/", 1)[-1]], **node}
        return _whole(node)
    for one in node.pop("allOf", ()):
        part = _whole(one)
        node = {**node, **part, "required": [*node.get("required", ()), *part.get("required", ())]}
    ways = [_whole(one) for word in ("oneOf", "anyOf") for one in node.pop(word, ())]
    if ways:
        solid = [one for one in ways if one.get("type") != "null"]
        merged = {name: one for way in solid for name, one in way.get("properties", {}).items()}
        always = set.intersection(*(set(one.get("required", ())) for one in solid))
        node = {**node, **solid[0], **({"properties": merged, "required": sorted(always)} if merged else {})}
        node["nullable"] = len(solid) < len(ways)
    return node


@cache
def _definitions() -> dict[str, Any]:
    schema = json.loads((Path(__file__).parents[1] / "record.schema.json").read_text(encoding="utf-8"))
    return dict(schema["$defs"])


def arrow() -> Any:
    """The package pyarrow. Raises MissingExtra."""
    try:
        import pyarrow
    except ImportError:
        raise MissingExtra("pyarrow", "ray", "results as Parquet") from None
    return pyarrow


def _or_none(value: Any, change: Put) -> Any:
    return None if value is None else change(value)


def _same(value: Any) -> Any:
    return value


def _text(value: str) -> str:
    return value.encode(errors="backslashreplace").decode()      # a file's name may hold bytes that are no UTF-8
