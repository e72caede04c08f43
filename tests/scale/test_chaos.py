"""A real cluster of three nodes on this machine: workers killed at random, the driver killed, a node removed."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vision import Detect, JsonLines, Run
from vision.scale.job import Job, Progress

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

KILLS = int(os.environ.get("VISION_KILLS", "2"))            # of `make soak`: 20
CLIPS = 200 if "VISION_SOAK" in os.environ else 12
ENGINE = {"backend": "openvino", "precision": "fp32"}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
os.environ.update(LOOPBACK)                                 # which Ray looks at when it is imported
pytest.importorskip("ray", reason="needs the extra 'ray'")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Three nodes of one processor each, on loopback."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short clips, one of half a minute, and one file that is none."""
    folder = tmp_path_factory.mktemp("clips")
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    for number in range(CLIPS):
        with av.open(str(folder / f"clip{number}.mp4"), "w") as out:
            stream: Any = out.add_stream("libx264", rate=10, options={"g": "10", "sc_threshold": "0"})
            stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
            for index in range(120 if number == 0 else 30):
                image = np.roll(noise, 3 * index + number, axis=1)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
            out.mux(stream.encode())
    (folder / "broken.mp4").write_text("no video at all")
    return folder


def workers() -> list[int]:
    """The processes of workers, below this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                named = (entry / "cmdline").read_bytes().startswith(b"ray::Worker")
                if named and _below_this(int(entry.name)):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _below_this(process: int) -> bool:
    while process > 1:
        if process == os.getpid():
            return True
        process = int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return False


def until_done(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    while len(list(out.glob("records/*.json"))) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "nothing is committed"
        time.sleep(0.05)


@pytest.mark.soak
def test_exactly_once_whatever_is_killed(nodes: Any, clips: Path, tmp_path: Path) -> None:
    out, sources = tmp_path / "out", str(clips / "*.mp4")
    command = [sys.executable, "-m", "vision", "run", "--do", "detect", sources, "--ray", nodes.address,
               "--results", str(out), "--cut", "3", "--workers", "3", *(f"--{k}={v}" for k, v in ENGINE.items())]
    address = nodes.address
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **LOOPBACK})
    until_done(out, 2, driver)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()

    again = Job([Detect()], [sources, str(clips / "clip1.mp4")], str(out), engine={**ENGINE, "free_only": False},
                address=address, cut=3.0, workers=3, resume=True)
    assert again.progress.kept >= 2
    killed, lines, removed = 0, [], False
    chance = random.Random(0)

    def told(progress: Progress, line: str) -> None:
        nonlocal killed, removed
        lines.append(line)
        there = workers()
        if killed < KILLS and there:
            os.kill(chance.choice(there), signal.SIGKILL)
            killed += 1
        if killed * 2 >= KILLS and not removed:
            removed = True
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)

    progress = again.run(told)
    assert killed == KILLS
    assert removed
    assert progress.died >= KILLS
    assert nodes.address.startswith("127.0.0.1:")
    assert list(progress.failed) == [str(clips / "broken.mp4")]
    assert progress.done == CLIPS
    assert any("its worker died" in line for line in lines)

    manifest = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len(manifest) == CLIPS + 1
    assert not list(out.rglob("*.part"))
    alone = tmp_path / "alone.jsonl"
    files = [one["source"] for one in manifest if "failed" not in one]
    with Run(files, Detect(), [JsonLines(alone)], **ENGINE) as run:
        run.finish()
    records = b"".join((out / "records" / one["records"]).read_bytes() for one in manifest if "failed" not in one)
    assert records == alone.read_bytes()
    assert len(list((out / "records").iterdir())) == 2 * CLIPS


def test_an_address_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-m", "vision", "run", "--do", "detect", str(tmp_path / "a.mp4"), "--ray", address,
                   "--results", str(tmp_path / "out")]
        (tmp_path / "a.mp4").write_bytes(b"x")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **LOOPBACK})
    assert done.returncode == 2
    assert f"UsageError: {address!r} does not answer as Ray does within 10 s" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
