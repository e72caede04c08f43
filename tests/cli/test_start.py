"""What the command line costs before it does anything."""

from __future__ import annotations

import subprocess
import sys

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
