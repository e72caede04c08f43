"""Which back end `load` takes, and what it says when there is none."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import by_hand

import vision.engine
from vision.card import Card
from vision.engine import BACKENDS, load
from vision.engine.base import CannotRun
from vision.errors import EngineError, UsageError, WeightsError


@pytest.mark.parametrize(("option", "value", "allowed"), [
    ("backend", "tensorflow", "openvino, onnxruntime, torch, opencv"),
    ("precision", "int4", "int8, fp32, fp16, bf16"),
    ("device", "gpu", "cpu, cuda"),
])
def test_an_unknown_value_is_answered_with_the_known_ones(
    card: Card, option: str, value: str, allowed: str
) -> None:
    with pytest.raises(UsageError, match=allowed) as caught:
        load(card, **{option: value})
    assert repr(value) in str(caught.value)


def test_auto_takes_openvino_on_a_cpu_and_says_so(card: Card, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "vision.engine"):
        engine = load(card, "cpu")
    assert engine.label.startswith("openvino CPU")
    assert f"tiny runs on {engine.label}" in caplog.text
    engine.close()


@pytest.mark.parametrize(("missing", "taken"), [
    (["openvino"], "onnxruntime"), (["openvino", "onnxruntime"], "torch"),
])
def test_auto_passes_over_what_is_not_installed(
    card: Card, missing: list[str], taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hide(missing, monkeypatch)
    engine = load(card, "cpu")
    assert engine.label.startswith(taken)
    engine.close()


def test_a_back_end_that_is_not_installed_says_how_to_install_it(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hide(["openvino"], monkeypatch)
    with pytest.raises(EngineError, match="pip install openvino"):
        load(card, "cpu", backend="openvino")


def test_openvino_sends_nothing_when_it_is_imported(tmp_path: Path) -> None:
    """Its telemetry forked a process, held the exit up where there is no network, and wrote into HOME."""
    code = (
        "import vision.engine.openvino_backend, sys, threading\n"
        "print([t.name for t in threading.enumerate()], [m for m in sys.modules if 'openvino_tel' in m])"
    )
    home = {k: v for k, v in os.environ.items() if k != "CI"} | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True)
    assert done.stdout.strip() == "['MainThread'] ['openvino_telemetry']", done.stderr
    assert list(tmp_path.iterdir()) == []


def _hide(packages: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(sys.modules, "vision.engine." + BACKENDS[package].split(":")[0], raising=False)


def test_auto_goes_on_when_the_graph_cannot_be_built(
    card: Card, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from vision.engine.openvino_backend import OpenvinoEngine

    def cannot(self: OpenvinoEngine, shape: tuple[int, ...], alone: bool) -> None:
        raise CannotRun("openvino cannot run 'tiny': MaxUnpool")

    monkeypatch.setattr(OpenvinoEngine, "_build", cannot)
    engine = load(card, "cpu")
    assert engine.label.startswith("openvino")
    scores = engine.submit(pictures).result()[0]
    assert engine.label == "onnxruntime CPU fp32"
    assert [r.getMessage() for r in caplog.records] == ["openvino cannot run 'tiny': MaxUnpool"]
    np.testing.assert_allclose(scores, by_hand(card, pictures)[0], atol=1e-5)
    assert engine(pictures[:1])[0].shape == (1, 5)
    engine.close()

    with pytest.raises(EngineError, match="nothing here runs 'tiny': openvino cannot run"):
        load(card, "cpu", backend="openvino").submit(pictures)


def test_a_network_that_cannot_be_traced_runs_on_torch_alone(
    make_card: Callable[..., Card], pictures: np.ndarray
) -> None:
    card = make_card(config={"traceable": False})
    engine = load(card, "cpu")
    np.testing.assert_allclose(engine(pictures)[0], by_hand(card, pictures)[0], atol=1e-5)
    assert engine.label == "torch CPU fp32"
    engine.close()
    for backend in ("openvino", "onnxruntime", "opencv"):
        engine = load(card, "cpu", backend=backend)
        with pytest.raises(EngineError, match="only torch runs 'tiny'"):
            engine(pictures)


@pytest.mark.parametrize(("backend", "options", "why"), [
    ("opencv", {"precision": "fp16"}, "fp32"),
    ("onnxruntime", {"device": "cpu", "precision": "bf16"}, "fp32"),
    ("openvino", {"device": "cuda"}, "CPU"),
    ("opencv", {"device": "mps"}, "CPU"),
])
def test_what_a_back_end_cannot_do_is_said(
    card: Card, backend: str, options: dict[str, str], why: str
) -> None:
    with pytest.raises(EngineError, match=why):
        load(card, backend=backend, **options)


def test_a_device_that_is_not_there(card: Card) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(EngineError, match=r"torch has no 'cuda:3' here, only cpu.*onnxruntime cannot use"):
        load(card, "cuda:3")


def test_auto_asks_torch_only_where_a_driver_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(vision.engine.shutil, "which", lambda name: None)
    monkeypatch.setattr(vision.engine.sys, "platform", "linux")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: pytest.fail("asked"))
    assert vision.engine._devices() == ["cpu"]
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(vision.engine.shutil, "which", lambda name: "/usr/bin/" + name)
    assert vision.engine._devices() == ["cuda", "cpu"]


def test_missing_weights_are_told_at_load(make_card: Callable[..., Card]) -> None:
    with pytest.raises(WeightsError, match="not here"):
        load(make_card(file="nowhere.safetensors"))


def test_importing_the_engine_imports_no_back_end() -> None:
    code = "import vision.engine, sys; print(sorted(set(sys.argv[1:]) & set(sys.modules)))"
    assert _python(code, "torch", "openvino", "onnxruntime", "onnx", "cv2.dnn") == "[]"


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "opencv"])
def test_a_cached_graph_runs_without_torch(card: Card, pictures: np.ndarray, backend: str) -> None:
    load(card, "cpu", backend=backend)(pictures[:1])
    code = f"""
import sys
sys.modules["torch"] = None
import numpy as np
from vision.engine import load
from vision.card import Boxes, Card, Clip, Input
engine = load({card!r}, "cpu", backend={backend!r})
print(engine(np.zeros((1, 48, 64, 3), np.uint8))[0].shape)
"""
    assert _python(code) == "(1, 5)"


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="a signal of POSIX")
def test_a_signal_can_be_handled_when_engines_are_gone() -> None:
    """With a Core of OpenVINO's own each, let go in the order of their making, it ended the process."""
    code = """
import os, signal
from vision.engine import load
from vision.zoo import CARDS

signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
first, second = (load(CARDS["mobilenet-v2"], "cpu", "fp32", "openvino") for _ in range(2))
first.close()
del first
second.close()
del second
os.kill(os.getpid(), signal.SIGUSR1)
"""
    assert _python(code) == "handled"


def _python(code: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
