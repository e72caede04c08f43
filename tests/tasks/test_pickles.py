"""A `.pt` is read for what it would run before anything of it runs."""

from __future__ import annotations

import builtins
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vision.errors import WeightsError
from vision.tasks.pickles import refuse_code


class Calls:
    """Pickled as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.how = function, arguments

    def __reduce__(self) -> Any:
        return self.how


class Activation:
    """Stands for a class of ultralytics that is called: some evaluate what they are given."""

    def __reduce__(self) -> Any:
        return torch.nn.Conv2d, (3, 1_000_000, 1_000)


@pytest.mark.parametrize(("what", "named"), [
    (lambda marker: Calls(os.system, f"touch {marker}"), "posix.system"),
    (lambda marker: Calls(eval, "1"), "__builtin__.eval"),
    (lambda marker: Calls(builtins.getattr, "", "join"), "__builtin__.getattr"),
    (lambda marker: Calls(exec, f"open({str(marker)!r}, 'w')"), "__builtin__.exec"),
    (lambda marker: {"deep": [OrderedDict(a=Calls(__import__, "os"))]}, "__builtin__.__import__"),
    (lambda marker: Calls(torch.load, str(marker)), "torch.serialization.load"),
    (lambda marker: Activation(), r"torch.nn.modules.conv.Conv2d\(...\)"),
])
def test_what_would_run_is_refused_and_does_not(tmp_path: Path, what: Any, named: str) -> None:
    marker, path = tmp_path / "ran", tmp_path / "evil.pt"
    torch.save({"model": what(marker)}, path)
    with pytest.raises(WeightsError, match=rf"was not opened: it would run {named}, which no YOLO needs"):
        refuse_code(path)
    assert not marker.exists()


def test_a_network_with_its_settings_is_let_through(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.SiLU())
    torch.save({"model": net, "ema": None, "epoch": -1, "best": np.float64(0.5), "names": {0: "cat"},
                "half": net.half(), "sizes": torch.Size([1, 2]), "seen": {1, 2}}, tmp_path / "net.pt")
    refuse_code(tmp_path / "net.pt")


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
    with pytest.raises(WeightsError, match=r"not a checkpoint as torch\.save writes it"):
        refuse_code(tmp_path / "x.pt")


def zipped(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
