"""One server for the tests that change nothing about it, and what it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import cv2
import pytest
from skimage import data as photographs

NEEDED = ("fastapi", "uvicorn", "httptools", "websockets", "multipart", "prometheus_client", "httpx")
if not all(map(find_spec, NEEDED)):
    collect_ignore_glob = ["test_*.py"]                  # without the extra `web`
else:
    from serving import Running, running

    from vision.serve.limits import Limits
    from vision.serve.service import Service


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """One that detects and tracks."""
    service = Service(["detect", "track"], limits=Limits(max_pixels=2_000_000, timeout=5, max_pictures=8))
    with running(service) as found:
        yield found


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    """A woman, 640x480 pixels."""
    image = cv2.cvtColor(photographs.astronaut(), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", cv2.resize(image, (640, 480)))[1].tobytes()
