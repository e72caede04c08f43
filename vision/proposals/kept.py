"""Proposals that are computed once: of the same pixels and the same search they come from the user's cache."""

from __future__ import annotations

import hashlib

import numpy as np

from vision.engine import cache
from vision.proposals.search import SelectiveSearch
from vision.types import Floats, Image

_MOST = 2000                            # of a picture, as published; fewer are the first of these


def kept_proposals(image: Image, search: SelectiveSearch | None = None, most: int = _MOST) -> Floats:
    """Boxes (N,4) float32 xyxy in pixels, at most `most` (up to 2000), the likeliest first: for trainings, which look
    at the same pictures again and again.

    image: (H,W,3) uint8 BGR. search: `SelectiveSearch()` unless given. Raises UsageError for another picture."""
    search = search or SelectiveSearch()
    digest = hashlib.sha256(np.ascontiguousarray(image).tobytes())
    digest.update(repr((image.shape, search)).encode())
    name = f"proposals/{digest.hexdigest()[:32]}"
    kept = cache.read(name)
    if kept is None:
        kept = search(image, _MOST).astype("<u2").tobytes()              # whole pixels
        cache.write(name, kept)
    return np.frombuffer(kept, "<u2").reshape(-1, 4)[:most].astype(np.float32)
