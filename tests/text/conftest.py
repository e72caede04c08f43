"""The reader that ships, loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vision.text.reader import TextReader


@pytest.fixture(scope="session")
def reader() -> Iterator[TextReader]:
    """In float32, on whatever back end there is."""
    with TextReader.load(precision="fp32", backend="onnxruntime") as made:
        yield made
