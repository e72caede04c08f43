"""The delay of `vision webcam --web`, from the camera to the result on the canvas, in a real browser on this machine.

    python benchmarks/webcam.py [CLIP] [--seconds 30] [--do detect]

Chromium without a window (Debian's, `make system`) has a fake camera of 640x480 that plays the clip, `vision sample`'s
unless given. A time stamp travels with each frame: from when the camera took it, as the browser says, to when its boxes
are drawn. The processors are shared by the server, the browser and its fake camera, which decodes JPEG.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import cv2
from playwright.sync_api import sync_playwright

from vision import read
from vision.sample import make_sample
from vision.view import letterbox

SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream")


def film(
    clip: Path, target: Path, size_wh: tuple[int, int] | None = (640, 480), first: int = 0, last: int = 10**6
) -> Path:
    """Frames first..last of a clip as Chromium's fake camera reads them; size_wh None: as large as they are."""
    with target.open("wb") as out, read(clip) as frames:
        for frame in frames:
            if first <= frame.index < last:
                image = frame.image if size_wh is None else letterbox(frame.image, size_wh, fill=0).pixels
                out.write(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return target


@contextmanager
def server(do: str) -> Iterator[str]:
    """`vision webcam --web` on a free port: the address of its page."""
    command = [sys.executable, "-m", "vision", "webcam", "--web", "--port", "0", "--do", do]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = next(filter(None, (re.search(r"open (http\S+)", line) for line in process.stderr)))
        yield found[1]
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def browsing(camera: Path, **context: Any) -> Iterator[Any]:
    """A page of a new browser, whose camera plays a film. context: the options of Playwright's `new_context`."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or "chromium", headless=True, env=environment,
            args=[*SWITCHES, f"--use-file-for-fake-video-capture={camera}"])
        yield browser.new_context(permissions=["camera"], **context).new_page()
        browser.close()


def until(page: Any, expression: str) -> Any:
    """The value of a JavaScript expression, once it is true."""
    while not (value := page.evaluate(expression)):
        page.wait_for_timeout(20)
    return value


def main() -> None:
    """Print the figures of one recording."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--do", default="detect")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = asked.clip
        if clip is None:
            clip = Path(folder) / "sample.mp4"
            make_sample(clip)
        camera = film(clip, Path(folder) / "camera.mjpeg")
        with server(asked.do) as address, browsing(camera) as page:
            page.goto(address)
            until(page, "document.body.dataset.first")
            page.goto(address)                           # the server is warm now
            first = float(until(page, "document.body.dataset.first"))
            page.evaluate("delete document.getElementById('latency').dataset.count")
            page.wait_for_timeout(1000 * asked.seconds)
            said = page.evaluate("({ ...document.getElementById('latency').dataset })")
            rate = page.inner_text("#rate")
    machine = platform.processor() or platform.machine()
    print(f"{date.today()}, {machine}, {os.cpu_count()} cores, --do {asked.do}, 640x480")
    print(f"first result {first:.0f} ms after the page's opening; then the last {said['count']} results: "
          f"p50 {said['p50']} ms, p95 {said['p95']} ms, of which the server's p50 {said['server']} ms; {rate} a second")


if __name__ == "__main__":
    main()
