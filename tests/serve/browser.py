"""A real browser without a window, whose camera is a film."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--use-fake-device-for-media-stream",
            "--host-resolver-rules=MAP camera.test 127.0.0.1")


def film(path: Path, images: Sequence[np.ndarray]) -> Path:
    """Pictures as Chromium's fake camera reads them."""
    path.write_bytes(b"".join(cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes() for one in images))
    return path


def recorded(page: Any, path: Path, ms: int) -> list[dict[str, Any]]:
    """The records that the page offers after it recorded for so long, saved at `path`."""
    page.keyboard.press("r")
    page.wait_for_timeout(ms)
    with page.expect_download() as got:
        page.keyboard.press("r")
    got.value.save_as(path)
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def browsing(camera: Path, *, allowed: bool = True, **context: Any) -> Iterator[Any]:
    """A page of a new browser. camera: what its camera sees. allowed: whether pages may use it. context: the options
    of Playwright's `new_context`."""
    if CHROMIUM is None or find_spec("playwright") is None:
        pytest.skip("needs chromium (`make system`) and playwright")
    from playwright.sync_api import sync_playwright

    more = ["--use-fake-ui-for-media-stream"] if allowed else []
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, env=environment,
            args=[*SWITCHES, f"--use-file-for-fake-video-capture={camera}", *more])
        settings = {"viewport": {"width": 1280, "height": 800}, "permissions": ["camera"] if allowed else [], **context}
        page = browser.new_context(**settings).new_page()
        page.wrong = []                                  # what the page says is wrong with it
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
        try:
            yield page
        finally:
            browser.close()


def until(page: Any, expression: str, seconds: float = 15) -> Any:
    """The value of a JavaScript expression, once it is true."""
    end = time.monotonic() + seconds
    while not (value := page.evaluate(expression)):
        assert time.monotonic() < end, f"{expression} stays {value!r}: {page.inner_text('body')[:500]}"
        page.wait_for_timeout(30)
    return value


def pixels(page: Any) -> np.ndarray:
    """(H,W,3) BGR: what is on the canvas."""
    url = page.evaluate("document.getElementById('canvas').toDataURL('image/png')")
    data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def extent(image: np.ndarray, rgb: tuple[int, int, int]) -> list[int] | None:
    """Left, top, right, bottom of the lines of a colour, where they are at least a quarter of the picture long."""
    there = (np.abs(image.astype(int) - rgb[::-1]) < 25).all(axis=2)
    columns = np.flatnonzero(there.sum(axis=0) > image.shape[0] / 4)
    rows = np.flatnonzero(there.sum(axis=1) > image.shape[1] / 4)
    return [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])] if len(columns) and len(rows) else None
