"""Is a YOLO `.pt` nothing but a network? Looked at before ultralytics opens it, and nothing of it is executed.

A `.pt` is a pickle, which can call whatever Python has. This reads its instructions with stand-ins for
everything that it names: what a saved network needs is let through, any other name or call refuses the file.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

from vision.errors import WeightsError

_BUILT = re.compile(                            # classes of which objects are made without a call
    r"(ultralytics\.nn\.(modules\.\w+|tasks)|torch\.nn\.modules\.\w+)\.[A-Z]\w*"
    r"|ultralytics\.utils\.IterableSimpleNamespace"
)
_CALLED = re.compile(                           # what may be called: it makes plain values and tensors
    r"torch\._utils\._rebuild_(tensor_v2|parameter|parameter_with_state)|torch\.(Size|device)"
    r"|torch\.nn\.modules\.container\.(Sequential|ModuleList|ModuleDict)"
    r"|torch\.\w*Storage|torch\.serialization\._get_layout|torch\.(float|half|bfloat|double|u?int|long|bool)\w*"
    r"|collections\.OrderedDict|(builtins|__builtin__)\.(set|frozenset|dict|list|tuple|int|float|bool|str|complex)"
    r"|numpy\.(_core|core)\.multiarray\.(scalar|_reconstruct)|numpy\.(dtype|ndarray)"
    r"|datetime\.(datetime|timedelta|timezone|date)|_codecs\.encode|pathlib\.\w*Path"
)


def refuse_code(path: Path) -> None:
    """Raise WeightsError where the file `path` is not a checkpoint of torch, or names anything that a network
    has no need of."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inside = [name for name in names if name.rsplit("/", 1)[-1] == "data.pkl"]
            if len(inside) != 1 or any(name.rsplit("/", 1)[-1] == "constants.pkl" for name in names):
                raise WeightsError(f"{str(path)!r} is not a checkpoint as torch.save writes it.")
            content = archive.read(inside[0])
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{str(path)!r} is not a checkpoint as torch.save writes it ({error}). An older one: open it with "
            "ultralytics yourself, and save it again."
        ) from error
    try:
        _Reader(io.BytesIO(content)).load()
    except _Refused as error:
        raise WeightsError(
            f"{str(path)!r} was not opened: it would run {error}, which no YOLO needs. Where you trust it, export "
            "it with ultralytics (yolo export model=FILE format=onnx), and give the .onnx."
        ) from error
    except Exception as error:                       # a pickle of nonsense trips over anything
        raise WeightsError(f"{str(path)!r} is not a checkpoint as torch.save writes it ({error}).") from error


class _Refused(Exception):
    """What a pickle would have run."""


class _StandIn:
    """Takes whatever is done to an object while it is unpickled, and keeps nothing."""

    name = ""

    def __new__(cls, *_: Any, **__: Any) -> _StandIn:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """As a list."""

    def extend(self, values: Any) -> None:
        """As a list."""

    def add(self, value: Any) -> None:
        """As a set."""


class _Reader(pickle._Unpickler):  # type: ignore[name-defined,misc]  # the one in Python, whose steps can be replaced
    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def find_class(self, module: str, name: str) -> Any:
        whole = f"{module}.{name}"
        if not _BUILT.fullmatch(whole) and not _CALLED.fullmatch(whole):
            raise _Refused(whole)
        return type("StandIn", (_StandIn,), {"name": whole})

    def persistent_load(self, pid: Any) -> Any:
        return _StandIn()

    def get_extension(self, code: int) -> None:
        raise _Refused(f"the extension {code} of copyreg")

    def load_reduce(self) -> None:
        self.stack.pop()                             # the arguments
        called = self.stack[-1]
        name = called.name if isinstance(called, type) and issubclass(called, _StandIn) else repr(called)
        if not _CALLED.fullmatch(name):
            raise _Refused(f"{name}(...)")
        self.stack[-1] = _StandIn()

    def load_call(self) -> None:
        raise _Refused("a call as old pickles have them")

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.INST[0]] = load_call
    dispatch[pickle.OBJ[0]] = load_call
