"""A YOLO's `.pt` is a pickle: what it would run is refused, and does not run."""

from __future__ import annotations

import builtins
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from vision.errors import WeightsError
from vision.tasks.yolo import export

pytestmark = [pytest.mark.slow, pytest.mark.yolo]


class Calls:
    """Pickled as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.how = function, arguments

    def __reduce__(self) -> Any:
        return self.how


@pytest.mark.parametrize("what", [
    lambda marker: Calls(os.system, f"touch {marker}"),
    lambda marker: Calls(eval, f"open({str(marker)!r}, 'w')"),
    lambda marker: Calls(builtins.getattr, "", "join"),
    lambda marker: Calls(exec, f"open({str(marker)!r}, 'w')"),
    lambda marker: {"deep": [OrderedDict(a=Calls(__import__, "os"))]},
    lambda marker: Calls(torch.load, str(marker)),
    lambda marker: Calls(torch.hub.load, "a/b", "c"),
    lambda marker: Calls(torch.nn.Conv2d, 3, 1_000_000, 1_000),              # a layer that is called: 12 TB
])
def test_what_would_run_is_refused_and_does_not(tmp_path: Path, what: Any) -> None:
    marker, path = tmp_path / "ran", tmp_path / "evil.pt"
    torch.save({"model": what(marker)}, path)
    with pytest.raises(WeightsError, match=r"executes nothing of it here.*yolo export"):
        export(path, tmp_path / "made.onnx")
    assert not marker.exists()
    assert not (tmp_path / "made.onnx").exists()


@pytest.mark.parametrize("write", [
    lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"text"),
    lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    lambda path: zipfile.ZipFile(path, "w").close(),
    lambda path: zipped(path, {"a/data.pkl": b"not a pickle"}),
    lambda path: zipped(path, {"a/data.pkl": pickle.dumps(1), "b/data.pkl": pickle.dumps(1)}),
    lambda path: zipped(path, {"a/data.pkl": pickle.dumps(1), "a/constants.pkl": pickle.dumps(1)}),
])
def test_what_is_no_checkpoint_is_told(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="cannot be exported by ultralytics"):
        export(tmp_path / "x.pt", tmp_path / "made.onnx")


def zipped(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
