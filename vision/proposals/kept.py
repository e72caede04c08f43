"""Proposals that are computed once: of the same picture and the same search they come from the user's cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from vision.engine import cache
from vision.io.pictures import decode_picture
from vision.proposals.search import SelectiveSearch
from vision.types import Floats

_MOST = 2000                            # of a picture, as published; fewer are the first of these


def proposals_of(path: Path, search: SelectiveSearch | None = None, most: int = _MOST) -> Floats:
    """Boxes (N,4) float32 xyxy in pixels of the picture in a file, at most `most` (up to 2000), the likeliest first.

    search: `SelectiveSearch()` unless given. Raises SourceError for a file that cannot be read."""
    content, search = path.read_bytes(), search or SelectiveSearch()
    name = f"proposals/{hashlib.sha256(content + repr(search).encode()).hexdigest()[:32]}"
    kept = cache.read(name)
    if kept is None:
        boxes = search(decode_picture(content, str(path)), _MOST)
        kept = boxes.astype("<u2").tobytes()             # of whole pixels
        cache.write(name, kept)
    return np.frombuffer(kept, "<u2").reshape(-1, 4)[:most].astype(np.float32)
