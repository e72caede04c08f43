"""Cameras that fail, and short pauses before they are tried again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cameras import Cameras, FakeCapture

from vision import at_once
from vision.io import capture, live


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cameras]:
    monkeypatch.setattr(live, "PAUSES_S", (0.05, 0.1))
    monkeypatch.setattr(at_once, "RETRY_S", 0.1)
    made = Cameras()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[FakeCapture]:
    """The driver of camera 0."""
    class Mine(FakeCapture):
        pass

    monkeypatch.setattr(capture.cv2, "VideoCapture", Mine)
    monkeypatch.setattr(live, "PAUSES_S", (0.05, 0.1))
    return Mine
