"""Records as Parquet: whatever the schema allows comes back as it was, and so does what a real run writes."""

from __future__ import annotations

import json
import math
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from record_schema import SCHEMA, check_record

from vision import Detect
from vision.errors import DataError, MissingExtra

pytest.importorskip("pyarrow", reason="needs the extra 'ray'")

from vision.scale.columns import columns_of, records, write
from vision.scale.job import Job

FRAME = SCHEMA["$defs"]["frame_line"]
TASKS = {key: key for key in FRAME["properties"] if key not in
         ("schema", "kind", "source", "frame", "time_s", "stamp_ns", "size")}
SOME = ("", "a", "ü\n", "2026-01-01")


def made(node: dict[str, Any], chance: random.Random) -> Any:
    """Something that a part of the schema allows."""
    if "$ref" in node:
        return made(SCHEMA["$defs"][node["$ref"].split("/")[-1]], chance)
    if "const" in node or "enum" in node:
        return node["const"] if "const" in node else chance.choice(node["enum"])
    if ways := node.get("oneOf") or node.get("anyOf"):
        return made(chance.choice(ways), chance)
    if "allOf" in node:
        first, more = node["allOf"]
        first = SCHEMA["$defs"][first["$ref"].split("/")[-1]]
        return made({**first, "required": [*first["required"], *more["required"]]}, chance)
    kind = chance.choice(node["type"]) if isinstance(node["type"], list) else node["type"]
    low = node.get("minimum", -9)
    match kind:
        case "null":
            return None
        case "boolean":
            return chance.random() < 0.5
        case "integer":
            return chance.randint(low, node.get("maximum", 2**60))
        case "number":
            high = node.get("maximum", low + 9)
            return chance.choice([chance.uniform(low, high), chance.randint(math.ceil(low), math.floor(high))])
        case "string":
            return chance.choice(SOME[bool(node.get("minLength")) :])
        case "array":
            least = node.get("minItems", 0)
            return [made(node["items"], chance) for _ in range(chance.randint(least, node.get("maxItems", least + 2)))]
    if "properties" not in node:
        inner = node.get("additionalProperties")
        return {key: made(inner, chance) for key in SOME[: chance.randint(0, 3)]} if inner else {"own": [None]}
    return {name: made(one, chance) for name, one in node["properties"].items()
            if name in node.get("required", ()) or chance.random() < 0.6}


def there_and_back(lines: list[dict[str, Any]], tasks: dict[str, str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in lines))
        write(path, path.with_suffix(".parquet"), tasks)
        return list(records(path.with_suffix(".parquet")))


@pytest.mark.parametrize("task", sorted(TASKS))
def test_what_the_schema_allows_comes_back(task: str) -> None:
    chance = random.Random(task)
    head = {key: one for key, one in FRAME["properties"].items() if key not in TASKS}
    kinds = [{**FRAME, "properties": {**head, task: FRAME["properties"][task]}}, SCHEMA["$defs"]["gap_line"]]
    lines = [made(chance.choice(kinds), chance) for _ in range(40)]
    for line in lines:
        check_record(line)
    assert there_and_back(lines, {task: task}) == lines


def test_a_key_of_ones_own_has_the_columns_of_its_task() -> None:
    kinds = {name: str(one.type) for name, one in columns_of({"near": "detect", "mine": "bright"}).items()}
    assert kinds["near"] == str(columns_of({"detect": "detect"})["detect"].type)
    assert kinds["near"].startswith("struct<model: string")
    assert kinds["mine"] == "string"
    head = {"schema": 2, "kind": "frame", "source": "a.mp4", "frame": 0, "time_s": 0.5, "size": [4, 3]}
    lines = [{**head, "near": {"objects": []}, "mine": {"any": {"thing": [1, None]}}}, head]
    assert there_and_back(lines, {"near": "detect", "mine": "bright"}) == lines


def test_what_no_column_holds_is_told() -> None:
    with pytest.raises(DataError, match="'detect', which is no column"):
        there_and_back([{"schema": 2, "detect": {}}], {})
    with pytest.raises(DataError, match="'smell', which its schema does not"):
        there_and_back([{"schema": 2, "detect": {"smell": 1}}], {"detect": "detect"})


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pyarrow.*ray"):
        Job([Detect()], [str(tmp_path / "a.mp4")], str(tmp_path / "out"), format="parquet")
    assert not (tmp_path / "out").exists()


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "other.parquet")
    (tmp_path / "none.parquet").write_text("no Parquet at all")
    for name in ("other.parquet", "none.parquet"):
        with pytest.raises(DataError, match=f"{name}' holds no records"):
            list(records(tmp_path / name))
