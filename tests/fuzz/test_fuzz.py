"""Foreign data of all kinds: read within bounds, or refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from documents import documents, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import READERS
from rule import judge, place

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
SECONDS = os.environ.get("VISION_SOAK", "3")           # of fuzzing for each reader; `make soak` gives more
BUILT = [name for name, reader in READERS.items() if reader.text is not None]
FOUND = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
quiet = settings(suppress_health_check=list(HealthCheck), max_examples=60)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: place(reader, tmp_path_factory.mktemp(name)) for name, reader in READERS.items()}


@pytest.mark.parametrize("name", list(READERS))
def test_whole_data_is_read(name: str, folders: dict[str, Path]) -> None:
    reader = READERS[name]
    assert judge(reader, reader.seeds[0], folders[name])
    for data in reader.seeds[1:]:
        judge(reader, data, folders[name])
    if reader.text is not None:
        assert judge(reader, written(reader.text(reader.document)), folders[name]) or name == "checkpoint"


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_stays_mended(path: Path, folders: dict[str, Path]) -> None:
    name = path.parent.name
    judge(READERS[name], path.read_bytes(), folders[name])


@pytest.mark.parametrize("name", list(READERS))
def test_bytes_of_any_kind(name: str, folders: dict[str, Path]) -> None:
    reader = READERS[name]

    @quiet
    @given(st.data())
    def check(data: st.DataObject) -> None:
        whole = bytearray(data.draw(st.sampled_from(reader.seeds)))
        for _ in range(data.draw(st.integers(0, 4))):
            at = data.draw(st.integers(0, len(whole)))
            size = data.draw(st.integers(0, 8))
            whole[at : at + size] = data.draw(st.binary(max_size=12))
        if not reader.skips(bytes(whole)):
            judge(reader, bytes(whole), folders[name])

    check()


@pytest.mark.parametrize("name", BUILT)
def test_documents_with_something_odd_in_them(name: str, folders: dict[str, Path]) -> None:
    reader = READERS[name]
    assert reader.text is not None

    @quiet
    @given(documents(reader.document))
    def check(document: object) -> None:
        data = written(reader.text(document))
        if not reader.skips(data):
            judge(reader, data, folders[name])

    check()


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.skipif(find_spec("atheris") is None, reason="needs atheris: pip install '.[fuzz]'")
@pytest.mark.parametrize("name", list(READERS))
def test_a_fuzzer_finds_nothing(name: str, tmp_path: Path) -> None:
    """Bytes and documents that are guided by what the reader's code does with them."""
    command = [sys.executable, str(HERE / "soak.py"), name, "--seconds", SECONDS, "--keep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    found = [line for line in done.stdout.splitlines() if line.startswith(f"{name}:")]
    assert not found, "\n".join(found)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "stat::number_of_executed_units" in done.stderr
