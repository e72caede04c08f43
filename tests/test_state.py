"""States as bytes: exact to the last bit, and nothing else is taken for one."""

from __future__ import annotations

import io
import json
import math
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from vision import state
from vision.errors import DataError

plain = (
    st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.floats() | st.text(max_size=8)
    | arrays(scalar_dtypes(), array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
states = st.dictionaries(
    st.text(max_size=6),
    st.recursive(plain, lambda inner: st.lists(inner, max_size=4)
                 | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12),
    max_size=5,
)                                                                                   # fmt: skip


def exact(a: Any, b: Any) -> None:
    """The same types, and the same bits: NaN is NaN, and -0.0 is not 0.0."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.flags.fnc) == (b.dtype, b.shape, b.flags.fnc)
        assert a.tobytes("K") == b.tobytes("K")
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            exact(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            exact(x, y)
    elif isinstance(a, float):
        assert (math.isnan(a) and math.isnan(b)) or (a, math.copysign(1, a)) == (b, math.copysign(1, b))
    else:
        assert a == b


@settings(max_examples=200, deadline=None)
@given(states)
def test_a_state_comes_back_to_the_last_bit(values: dict[str, Any]) -> None:
    data = state.dumps(values)
    exact(state.loads(data), values)
    assert state.dumps(state.loads(data)) == data


def test_rows_of_fields_and_the_order_in_memory_come_back() -> None:
    rows = np.zeros(3, np.dtype([("id", np.int64), ("state", np.float64, (5, 4)), ("score", np.float32)]))
    rows["state"] = np.random.default_rng(0).normal(size=(3, 5, 4))
    columns = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    exact(state.loads(state.dumps({"rows": rows, "columns": columns})), {"rows": rows, "columns": columns})
    every_second = state.loads(state.dumps({"a": np.arange(10)[::2]}))["a"]
    assert every_second.tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("value", [
    {"a": object()}, {"a": {1: 2}}, {"a": np.array([None, object()])}, {"a": np.float32(1)}, {"a": {1, 2}},
    {"a": [np.array(["x"], object)]}, {"a": np.zeros(2, [("x", object)])}, {"a": b"bytes"},
])
def test_what_is_not_plain_is_refused_when_it_is_written(value: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="a state has plain values and arrays under texts; got"):
        state.dumps(value)


WHOLE = state.dumps({"a": np.arange(20.0), "b": {"c": [1, None, math.inf]}, "d": np.eye(3, dtype=np.float32)})


@pytest.mark.parametrize("length", range(0, len(WHOLE), 7))
def test_a_torn_state_is_an_error(length: int) -> None:
    with pytest.raises(DataError, match="no whole state"):
        state.loads(WHOLE[:length])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_flipped_byte_changes_no_value(place: int, by: int) -> None:
    data = bytearray(WHOLE)
    data[place] ^= by
    try:
        found = state.loads(bytes(data))
    except DataError:
        return
    exact(found, state.loads(WHOLE))


def zipped(compression: int = zipfile.ZIP_STORED, **files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name.replace("_", "."), content)
    return data.getvalue()


def npy(array: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, array, allow_pickle=True)
    return data.getvalue()


HUGE = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,)}" % 2**45
FOREIGN = {
    "nothing": b"",
    "text": b"{}",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "no state.json": zipped(other=b"1"),
    "a list": zipped(state_json=b"[]"),
    "no map": zipped(state_json=b'{"map": 3}'),
    "another key": zipped(state_json=b'{"pickle": 3}'),
    "an array that is not there": zipped(state_json=b'{"map": {"a": {"array": 0}}}'),
    "a pickle": zipped(state_json=b'{"map": {"a": {"array": 0}}}', **{"0_npy": npy(np.array([{}, None]))}),
    "a larger array": zipped(state_json=b'{"map": {"a": {"array": 0}}}', **{"0_npy": HUGE.ljust(128)}),
    "deep": zipped(state_json=b"[" * 100_000),
    "compressed": zipped(zipfile.ZIP_DEFLATED, state_json=json.dumps({"map": {}}).encode()),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_something_else_is_an_error_of_one_line(what: str) -> None:
    with pytest.raises(DataError, match="no whole state") as error:
        state.loads(FOREIGN[what])
    assert "\n" not in str(error.value)
