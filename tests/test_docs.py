"""The pages: what they show runs, parses and is valid, their tables are the code's, no link is broken."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import pytest
import typer
from record_schema import check_record
from typer.testing import CliRunner

from vision import VideoWriter
from vision.cli import app, whole
from vision.steps import TASKS

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def blocks(kind: str, *, pages: list[Path] = PAGES) -> list[pytest.param]:
    """The blocks of a kind on all pages, each named by its page and its place there."""
    found = []
    for page in pages:
        texts = re.findall(rf"```{kind}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        name = page.relative_to(ROOT).with_suffix("")
        found += [pytest.param(text, id=f"{name}-{i}") for i, text in enumerate(texts) if "--8<--" not in text]
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of a person, 500x512: the photograph is scikit-image's."""
    package = find_spec("skimage")
    assert package is not None
    image = cv2.imread(str(Path(package.submodule_search_locations[0]) / "data/astronaut.png"))
    path = tmp_path_factory.mktemp("clip") / "video.mp4"
    with VideoWriter(path) as film:
        for i in range(6):
            film.write(image[:, i: i + 500], i / 10)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("python"))
def test_the_python_of_a_page_runs(
    text: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(clip, tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "page", "exec"), {"__name__": "page"})
    said = capsys.readouterr().out
    seen = "print(" in text and "for event in" not in text and "now.label" not in text     # what is found in the clip
    assert said or not seen


def refused(command: str) -> str:
    """What the command line says of an option or a command that is not there, and what a command cannot do without that
    is not given; empty where all is well."""
    words = shlex.split(command.partition("|")[0], comments=True)[1:]
    done = CliRunner().invoke(app, [*words, "--help"])
    if done.exit_code:
        return f"{done.output}{done.exception}"
    if not words or words[0].startswith("-"):
        return ""
    found: Any = whole(words.pop(0))
    while words and hasattr(found, "get_command") and (inner := found.get_command(None, words[0])) is not None:
        found, words = inner, words[1:]
    given, _, _ = found.make_parser(typer.Context(found)).parse_args(words)
    return " ".join(str(param.name) for param in found.params if param.required and not given.get(param.name))


@pytest.mark.parametrize("text", blocks("sh", pages=[*PAGES, ROOT / "README.md"]))
def test_the_commands_of_a_page_exist(text: str) -> None:
    lines = text.replace("\\\n", " ").splitlines()
    commands = [line for line in lines if line.startswith("vision ")]
    assert [refused(line) for line in commands] == [""] * len(commands)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert "--no-such" in refused("vision track video.mp4 --no-such 3")
    assert "nothing" in refused("vision nothing video.mp4")
    assert refused("vision train detect --data my-data") == "output"


@pytest.mark.parametrize("text", blocks("json"))
def test_the_records_of_a_page_are_valid(text: str) -> None:
    record = json.loads(text)
    check_record(record)
    assert record.keys() & TASKS.keys()


@pytest.mark.parametrize("text", blocks("toml"))
def test_the_toml_of_a_page_is_toml(text: str) -> None:
    assert tomllib.loads(text).keys() & {"do", "line", "task"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_its_page(task: str) -> None:
    page = (ROOT / f"docs/tasks/{task}.md").read_text(encoding="utf-8")
    assert f"vision {task} " in page
    assert f"<!-- options {task} -->" in page
    assert f"tasks/{task}.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_tables_are_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("markdown", reason="the extra 'docs'")
    pytest.importorskip("grimp", reason="the extra 'dev'")
    monkeypatch.syspath_prepend(ROOT / "docs")
    import house
    import tables_of_code as tables

    assert "| `--lost-after` | number, seconds, at least 0.001 | `1.5` |" in tables.option_table("track")
    assert "| `--from` (Python: `stored`) | path |" in tables.option_table("detect")
    assert "| `nanodet-g` (default) | 7.9 MB | fp32 AP 0.296" in tables.model_table("detect")
    assert "`--jsonl`" in tables.output_table("")
    assert house.floors()[0][0] == "cli"
    arrows = house.arrows()
    assert {"spec", "tracking", "types"} <= arrows["steps"]
    assert arrows["boxes"] == set()
    assert house.draw().count("<rect") == sum(map(len, house.floors()))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("zensical") is None, reason="needs zensical: the extra 'docs'")
def test_the_pages_build_without_a_broken_link(tmp_path: Path) -> None:
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("vision", "weights"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("mkdocs.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    path = os.pathsep.join([str(ROOT / "docs"), str(ROOT)])
    done = subprocess.run([Path(sys.executable).with_name("zensical"), "build", "--strict"], cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site/tasks/detect/index.html").read_text(encoding="utf-8")
    assert "--max-detections" in page
