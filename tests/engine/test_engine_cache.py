"""A cache that cannot be written, is somebody else's, or holds a broken graph: the run goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vision.card import Card
from vision.engine import cache, load
from vision.engine.program import program_of
from vision.errors import WeightsError
from vision.weights import pull, verify

BACKENDS = ("openvino", "onnxruntime", "opencv")


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in a folder that is a file: it cannot be made, by root neither."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    return tmp_path / "file" / "vision"


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_a_cache_the_results_are_the_same(
    backend: str, card: Card, pictures: np.ndarray, no_cache: Path
) -> None:
    expected = load(card, "cpu", "fp32", "torch")(pictures[:1])[0]
    found = load(card, "cpu", "fp32", backend)(pictures[:1])[0]
    assert found == pytest.approx(expected, abs=1e-3)
    assert not no_cache.exists()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kept", [lambda data: b"", lambda data: data[:300], lambda data: data[:-1] + b"!"])
def test_a_broken_file_of_the_cache_is_made_anew(
    backend: str, kept: Callable[[bytes], bytes], card: Card, pictures: np.ndarray, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = load(card, "cpu", "fp32", backend)(pictures[:1])[0]
    files = list((tmp_path / "vision" / "graphs").iterdir())
    assert {path.suffix for path in files} == {".onnx"} | ({".blob"} if backend == "openvino" else set())
    whole = {path: path.read_bytes() for path in files}
    for path in files:
        path.write_bytes(kept(whole[path]))
    assert load(card, "cpu", "fp32", backend)(pictures[:1])[0] == pytest.approx(expected, abs=1e-5)
    assert {record.getMessage() for record in caplog.records if record.levelname == "WARNING"} == {
        f"{path} is broken, and made anew" for path in files}
    assert next(path for path in files if path.suffix == ".onnx").stat().st_size > 1000


def test_a_cache_that_is_somebody_elses_is_read(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    graph = program_of(card).onnx((48, 64, 3))
    (path,) = (tmp_path / "vision" / "graphs").iterdir()

    def not_ours(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", not_ours)
    monkeypatch.setattr(Path, "unlink", not_ours)
    assert cache.read(f"graphs/{path.name}") == graph
    cache.trim(path.parent, most=1)
    assert path.is_file()


def test_weights_that_cannot_be_read_or_kept_are_told(
    make_card: Callable[..., Card], no_cache: Path, tmp_path: Path
) -> None:
    card = make_card(file="x.pth", sha256="", url="http://127.0.0.1:9/x.pth")
    with pytest.raises(WeightsError, match=r"cannot be written \(Not a directory\)"):
        pull(card)
    with pytest.raises(WeightsError, match="cannot be read"):
        verify(card, tmp_path)                                   # a folder
