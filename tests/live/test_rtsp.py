"""A real RTSP server that stalls, dies and comes back with another picture: time-outs, gaps, no black frame."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cameras import Nth

from vision import JsonLines, Run, VideoFile, read
from vision.io import live

PYTHON = "/usr/bin/python3"                              # the one that has GStreamer's bindings
CHECK = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


class Camera:
    """An RTSP camera that is switched on and off."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"rtsp://127.0.0.1:{self.port}/camera"
        self.process: subprocess.Popen[str] | None = None

    def on(self, width: int = 320, height: int = 240) -> None:
        script = Path(__file__).with_name("rtsp_server.py")
        command = [PYTHON, str(script), str(self.port), str(width), str(height)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def off(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def stall(self, seconds: float) -> None:
        """Be silent for so long, with the connection open."""
        assert self.process is not None
        process = self.process
        process.send_signal(signal.SIGSTOP)
        threading.Timer(seconds, lambda: process.send_signal(signal.SIGCONT)).start()


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    if not Path(PYTHON).exists() or subprocess.run([PYTHON, "-c", CHECK], capture_output=True).returncode:
        pytest.skip("needs gir1.2-gst-rtsp-server-1.0: an RTSP server (`make system`)")
    monkeypatch.setattr(live, "PAUSES_S", (0.1, 0.2, 0.4))
    monkeypatch.setattr(live, "TIMEOUT_S", 1.0)
    one = Camera()
    yield one
    one.off()


def test_a_camera_that_stalls_and_dies_leaves_gaps_and_no_black_frame(camera: Camera, tmp_path: Path) -> None:
    """It is missing at first; it stalls for longer than the time-out; it dies and comes back twice as large."""
    gone: list[float] = []
    seen = {0: 0, 1: 0, 2: 0}                            # frames of each stretch
    sizes, darkest, stretch = set(), 255.0, 0
    began = time.monotonic()
    threading.Timer(0.5, camera.on).start()
    source = read(camera.uri, reconnect=True)
    assert source.lost_at is not None
    sinks = [JsonLines(tmp_path / "out.jsonl"), VideoFile(tmp_path / "out.mp4")]
    with Run(source, Nth(), sinks) as run:
        for item in run:
            frame = item.frame
            stretch += frame.gap > 0
            seen[stretch] += 1
            sizes.add(frame.size_wh)
            darkest = min(darkest, float(frame.image.mean()))
            if seen[0] == 15 and not gone:
                gone.append(time.monotonic())
                camera.stall(3.5)                        # FFmpeg hands out what it holds first: two time-outs
            if seen[1] == 15 and len(gone) == 1:
                gone.append(time.monotonic())
                camera.off()
                threading.Timer(0.5, camera.on, (640, 480)).start()
            if seen[2] == 15 or time.monotonic() - began > 40:
                break
    assert sizes == {(320, 240), (640, 480)}
    assert darkest > 150                                 # grey and bright, all of them
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    gaps = [line["gap_s"] for line in lines if line["kind"] == "gap"]
    assert len(gaps) == 2
    assert 1.5 < gaps[0] < 8
    assert 0.4 < gaps[1] < 8
    told = [line for line in lines if line["kind"] in ("frame", "gap")]
    for before, gap, after in zip(told, told[1:], told[2:], strict=False):
        if gap["kind"] == "gap":
            assert after["time_s"] - before["time_s"] == pytest.approx(gap["gap_s"], abs=0.2)
    times = [line["time_s"] for line in told if line["kind"] == "frame"]
    assert (np.diff(times) > 0).all()
    assert len(list(read(tmp_path / "out.mp4"))) == run.report.written == len(times)
    assert run.report.unexplained == 0
