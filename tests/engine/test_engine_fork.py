"""An engine in a process that was forked: it says so at once, where it waited for threads that are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vision.card import Card

# the child prints what it meets, the parent ends it after a while and runs on
SCRIPT = """
import os, signal
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from types import ModuleType
from tiny import Tiny
from vision.card import Boxes, Card, Clip, Input
from vision.engine import load
from vision.nets import NETS

module = ModuleType("vision.nets.tiny_for_tests")
module.Tiny = Tiny
sys.modules[module.__name__] = module
NETS["tiny"] = "tiny_for_tests:Tiny"
card, batch = {card!r}, np.zeros((2, 48, 64, 3), np.uint8)
engine = load(card, "cpu", "fp32", {backend!r})
before = engine(batch)[0]
sys.stdout.flush()
child = os.fork()
if child == 0:
    signal.alarm(20)
    for act in (lambda: engine(batch), lambda: engine(batch[:1]), lambda: engine.submit(batch).result(),
                {again}):
        try:
            act()
            print("ran")
        except Exception as error:
            print(type(error).__name__, str(error).partition(" was loaded")[0])
    engine.close()
    sys.stdout.flush()
    os._exit(0)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print("same", (engine(batch)[0] == before).all())
engine.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a call of POSIX")
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "torch", "opencv"])
def test_a_forked_process_is_told_to_load_its_own(card: Card, backend: str) -> None:
    again = "lambda: load(card, 'cpu', 'fp32', 'torch')(batch)" if backend == "torch" else "lambda: None"
    code = SCRIPT.format(
        tests=str(Path(__file__).parent), card=card, backend=backend, again=again
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    refused = f"EngineError the engine '{backend} CPU fp32'"
    last = "EngineError torch" if backend == "torch" else "ran"
    assert done.stdout.splitlines() == [refused] * 3 + [last, "child 0", "same True"], done.stderr
