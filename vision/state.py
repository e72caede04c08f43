"""What a step remembers, as bytes: plain values and arrays, exact to the last bit, no code in it.

A `State` is a mapping of texts to plain JSON values (infinity and NaN included), NumPy arrays, and lists and
mappings of these. The bytes are a zip file: `state.json`, and each array as a `.npy`.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from io import BytesIO
from typing import Any

import numpy as np

from vision.errors import DataError

State = Mapping[str, Any]


def dumps(state: State) -> bytes:
    """`state` as bytes, which are the same for the same state. Raises TypeError for another value."""
    arrays: list[np.ndarray] = []
    text = json.dumps(_plain(state, arrays))
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr(zipfile.ZipInfo("state.json"), text)
        for n, array in enumerate(arrays):
            one = BytesIO()
            np.lib.format.write_array(one, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{n}.npy"), one.getvalue())
    return data.getvalue()


def loads(data: bytes) -> State:
    """The state of `dumps`. Raises DataError for bytes that are torn or something else."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as file:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in file.infolist()):
                raise ValueError("it is compressed")             # and could be much larger than it looks
            arrays = [
                np.lib.format.read_array(BytesIO(file.read(f"{n}.npy")), allow_pickle=False)
                for n in range(len(file.namelist()) - 1)
            ]
            state = _filled(json.loads(file.read("state.json")), arrays)
            if not isinstance(state, dict):
                raise TypeError("it is no mapping")
            return state
    except (zipfile.BadZipFile, struct.error, ValueError, LookupError, TypeError, AttributeError, EOFError,
            OSError, MemoryError, RuntimeError) as error:
        raise DataError(f"this is no whole state of a run ({error}). Begin the run anew.") from error


def _plain(value: Any, arrays: list[np.ndarray]) -> Any:
    """`value` for JSON: `{"array": number}` for an array, `{"map": ...}` for a mapping."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"map": {key: _plain(item, arrays) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return [_plain(item, arrays) for item in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"a state has plain values and arrays under texts; got {type(value).__name__} {value!r}")


def _filled(value: Any, arrays: Sequence[np.ndarray]) -> Any:
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        return {key: _filled(item, arrays) for key, item in value["map"].items()}
    return [_filled(item, arrays) for item in value] if isinstance(value, list) else value


def snapshot(owner: object, fields: Sequence[str]) -> State:
    """Copies of an object's `fields`, under their names."""
    return {field.lstrip("_"): deepcopy(getattr(owner, field)) for field in fields}


def put_back(owner: object, fields: Sequence[str], state: State) -> None:
    """Copies of what `snapshot` gave, as the `fields` of another object of the kind."""
    for field in fields:
        setattr(owner, field, deepcopy(state[field.lstrip("_")]))
