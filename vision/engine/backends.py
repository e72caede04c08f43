"""The back ends by name: imported when they are used."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from vision.engine.base import CannotRun
from vision.engine.choice import Candidate
from vision.engine.pictures import PictureEngine

# back end -> "module:class"; on a CPU the fastest first, on anything else torch comes first
BACKENDS = {
    "openvino": "openvino_backend:OpenvinoEngine",
    "onnxruntime": "onnx_backend:OnnxruntimeEngine",
    "torch": "torch_backend:TorchEngine",
    "opencv": "opencv_backend:OpencvEngine",
}
# what runs files of its own format, and no others
OWN = {"litert": "litert_backend:LitertEngine"}
PRECISIONS = ("int8", "fp32", "fp16", "bf16")
# where the package has another name than the back end
_PACKAGES = {"opencv": "opencv-python", "litert": "ai-edge-litert"}
_MODULES = {"opencv": "cv2", "litert": "ai_edge_litert"}

# At its import OpenVINO tells Google Analytics, in a process that it forks, and leaves a folder in the
# user's home. Without its package for that, which NNCF uses too, neither does.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def backend_class(backend: str) -> Any:
    """The engine class of a back end. Raises ModuleNotFoundError where its package is not installed."""
    module, name = (BACKENDS | OWN)[backend].split(":")
    return getattr(import_module(f"vision.engine.{module}"), name)


def installed(backend: str) -> bool:
    """Whether its package is there; it is not imported."""
    try:
        return find_spec(_MODULES.get(backend, backend)) is not None
    except ValueError:                                  # told to be absent: sys.modules[name] is None
        return False


def start_engine(candidate: Candidate) -> PictureEngine:
    """The engine of one candidate. Raises CannotRun where it is not installed or cannot run this."""
    try:
        kind = backend_class(candidate.backend)
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(candidate.backend, candidate.backend)
        raise CannotRun(f"{candidate.backend} is not installed: pip install {package}") from error
    made: PictureEngine = kind(candidate.program, candidate.device, candidate.precision, candidate.streams)
    return made
