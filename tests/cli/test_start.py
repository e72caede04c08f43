"""What the command line costs before it does anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("code", [
    "import vision, vision.io, vision.zoo, vision.engine, vision.weights",
    "import vision.cli; vision.cli.app(['--help'], standalone_mode=False)",
    "import vision.cli; vision.cli.app(['detect', '--help'], standalone_mode=False)",
])
def test_nothing_heavy_is_imported_before_a_command_runs(code: str) -> None:
    heavy = "{'torch', 'torchvision', 'cv2', 'av', 'openvino', 'onnxruntime', 'scipy', 'ultralytics'}"
    allowed = "set()" if code.startswith("import vision,") else "{'cv2'}"
    check = f"{code}\nimport sys\nfound = ({heavy} & set(sys.modules)) - {allowed}\nassert not found, found"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["webcam", "--help"]])
def test_help_takes_less_than_half_a_second_of_processor_time(arguments: list[str], tmp_path: Path) -> None:
    """The clock says the same where nothing else runs; on a busy machine it says how busy that is. The code is compiled
    once, as an installation has it."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    code = ("import os, sys, vision.__main__\nsys.argv = ['vision', *sys.argv[1:]]\n"
            "try:\n    vision.__main__.main()\nexcept SystemExit:\n    pass\n"
            "print(sum(os.times()[:2]), file=sys.stderr)")
    spent = [float(subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True,
                                  check=True, env=environment).stderr.split()[-1]) for _ in range(3)]
    assert min(spent) < 0.5, spent


def run(cache: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process whose cache is empty: no graph was exported into it."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True,
                          env={**os.environ, "VISION_MEASURE": "no", "XDG_CACHE_HOME": str(cache)})


WITHOUT_TORCH = """
import sys
from pathlib import Path
sys.modules["torch"] = sys.modules["torchvision"] = None                # as if they were not installed
from vision.cli.measured import photographs
from vision.cli import app
app(["run", str(photographs()[0]), "--do", "detect,faces,classify", "--jsonl", sys.argv[1]], standalone_mode=False)
"""


def test_what_ships_runs_on_a_machine_without_torch(tmp_path: Path) -> None:
    done = run(tmp_path / "cache", WITHOUT_TORCH, str(tmp_path / "out.jsonl"))
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert [one["label"] for one in record["detect"]["objects"]][:1] == ["person"]
    assert len(record["faces"]["objects"]) == 1


def test_the_usual_tasks_import_nothing_of_the_unusual_ones(tmp_path: Path) -> None:
    code = """
import sys
import cv2, numpy as np
from vision.cli import app
picture = sys.argv[1]
cv2.imwrite(picture, np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8))
app(["run", picture, "--do", "detect,instances,faces,pose,classify", "-o", picture + ".jpg"], standalone_mode=False)
found = {"torch", "scipy", "skimage", "matplotlib", "pandas", "lightning", "fastapi"} & set(sys.modules)
assert not found, found
"""
    done = run(tmp_path / "cache", code, str(tmp_path / "noise.png"))
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_every_network_that_ships_runs_without_torch(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
sys.modules["torch"] = sys.modules["torchvision"] = None
import numpy as np
from vision.engine import load
from vision.engine.program import program_of
from vision.weights import locate
from vision.zoo import CARDS
shipped = [card for card in CARDS.values() if (locate(card) or [""])[0] == "shipped"]
for card in shipped:
    engine, program = load(card, "cpu"), program_of(card)
    for shape in (program.shape, (224, 320, 3)) if program.any_size else (program.shape,):
        assert len(engine(np.zeros((1, *shape), np.uint8))) >= 1, card.name
    engine.close()
print(len(shipped))
"""
    done = run(tmp_path / "cache", code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 20


NEEDS_NO_TORCH = """
import sys
from pathlib import Path
from vision.cli import app
from vision.cli.measured import photographs
picture, folder = str(photographs()[0]), Path(sys.argv[1])
tasks = sys.argv[2].split(";")
for command in tasks:
    app([word.format(picture=picture, folder=folder) for word in command.split()], standalone_mode=False)
    loaded = {"torch", "torchvision", "lightning", "nncf", "torch_pruning"} & set(sys.modules)
    assert not loaded, (command, loaded)
print(len(tasks))
"""


@pytest.mark.parametrize("commands", [
    ("probe {picture}", "models --json", "models show gfl-voc", "weights list", "inspect facemesh",
     "models card {folder}/mine.onnx --task classify -o {folder}/mine.toml",
     "export facemesh -o {folder}/mesh.onnx", "compress iris --precision half -o {folder}/iris.onnx"),
    pytest.param((
        "run {picture} --do detect,attributes,text --jsonl {folder}/a.jsonl --quiet",
        "export blazepose-full --format openvino -o {folder}/pose.xml",
        "compress facemesh --data {picture} -o {folder}/mesh-int8.onnx",
        "faces {picture} --model {folder}/mesh-int8.onnx --jsonl {folder}/d.jsonl --quiet",
    ), marks=pytest.mark.slow),
])
def test_torch_is_not_imported_where_nothing_needs_it(commands: tuple[str, ...], tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])])
    onnx.save(helper.make_model(graph), tmp_path / "mine.onnx")
    done = run(tmp_path / "cache", NEEDS_NO_TORCH, str(tmp_path), ";".join(commands))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == str(len(commands))
