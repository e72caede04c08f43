"""What results have in common: `repr` says what one is, on a line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

_WHOLE = 8                               # numbers of an array that are shown; of a longer one, its shape and type


class Shown:
    """The base of results (dataclasses with `repr=False`)."""

    __slots__ = ()

    def __repr__(self) -> str:
        values = ((one.name, getattr(self, one.name)) for one in fields(self))  # type: ignore[arg-type]
        said = ", ".join(f"{name}={_brief(value)}" for name, value in values if value is not None)
        return f"{type(self).__name__}({said})"


def _brief(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size <= _WHOLE and value.ndim < 3:
        return repr(np.round(value.astype(np.float64), 4).tolist() if value.dtype.kind == "f" else value.tolist())
    return f"({','.join(map(str, value.shape))}) {value.dtype}"
