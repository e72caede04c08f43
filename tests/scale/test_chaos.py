"""Three nodes: workers killed at random, the driver killed, a node removed, a disk full, another Ray; and S3."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import ENGINE, LOOPBACK

from vision import Detect, JsonLines, Run
from vision.scale.crew import Crew
from vision.scale.job import Job, Progress

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

KILLS = int(os.environ.get("VISION_KILLS", "2"))            # of `make soak`: 20
CLIPS = 200 if "VISION_SOAK" in os.environ else 20
CHOICE = {**ENGINE, "free_only": False}
pytest.importorskip("ray", reason="needs the extra 'ray'")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_clips: Callable[..., Path]) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), CLIPS, 10)


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


def killed_when(committed: Callable[[], int], count: int, *arguments: str) -> None:
    """A run in a process of its own, which is killed once so many sources are committed."""
    command = [sys.executable, "-m", "vision", "run", *arguments, *(f"--{k}={v}" for k, v in ENGINE.items())]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **LOOPBACK})
    end = time.monotonic() + 200
    while committed() < count:
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < end, "nothing is committed"
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()


def alone(sources: list[str], path: Path) -> bytes:
    """The records of a run on one machine."""
    with Run(sources, Detect(), [JsonLines(path)], **ENGINE) as run:
        run.finish()
    return path.read_bytes()


def notes(manifest: bytes) -> list[dict[str, Any]]:
    """Of the sources that were done."""
    return [one for line in manifest.splitlines() if "failed" not in (one := json.loads(line))]


class Killer:
    """Kills workers at random while a job goes on, and removes a node when half of it is done."""

    def __init__(self, nodes: Any) -> None:
        self.nodes, self.killed, self.planned, self.removed = nodes, 0, 0, False
        self.lines: list[str] = []
        self._chance = random.Random(0)
        self._told = time.monotonic()

    def told(self, progress: Progress, line: str) -> None:
        """Called after each unit."""
        self.lines.append(line)
        pace, self._told = time.monotonic() - self._told, time.monotonic()
        left = 0.5 * (progress.total - progress.done - len(progress.failed))      # the rest is to die over
        if self.planned < KILLS and self._chance.random() * left < KILLS - self.planned:
            self.planned += 1
            threading.Timer(self._chance.uniform(0, min(pace, 0.5)), self._kill).start()
        if 2 * self.planned >= KILLS and not self.removed:
            self.removed = True
            self.nodes.remove_node(next(iter(self.nodes.worker_nodes)), allow_graceful=False)

    def _kill(self) -> None:
        while not (there := workers()):
            time.sleep(0.1)
        os.kill(self._chance.choice(there), signal.SIGKILL)
        self.killed += 1


@pytest.mark.soak
def test_exactly_once_whatever_is_killed(nodes: Any, clips: Path, tmp_path: Path) -> None:
    out, sources = tmp_path / "out", str(clips / "*.mp4")
    assert nodes.address.startswith("127.0.0.1:")
    killed_when(lambda: len(list(out.glob("records/*.json"))), 2, "--do", "detect", sources, "--ray", nodes.address,
                "--results", str(out), "--cut", "3", "--workers", "3")
    again = Job([Detect()], [sources, str(clips / "clip1.mp4")], str(out), engine=CHOICE, address=nodes.address,
                cut=3.0, workers=3, resume=True)
    assert again.progress.kept >= 2
    killer = Killer(nodes)
    try:
        progress = again.run(killer.told)
    finally:
        nodes.add_node(num_cpus=1)
    assert (killer.killed, killer.removed) == (KILLS, True)
    assert KILLS <= progress.died <= KILLS + 3                  # and those of the node
    assert list(progress.failed) == [str(clips / "broken.mp4")]
    assert progress.done == CLIPS
    assert any("its worker died" in line for line in killer.lines)

    manifest = (out / "manifest.jsonl").read_bytes()
    done = notes(manifest)
    assert (len(manifest.splitlines()), len(done)) == (CLIPS + 1, CLIPS)
    assert not list(out.rglob("*.part"))
    records = b"".join((out / "records" / one["records"]).read_bytes() for one in done)
    assert records == alone([one["source"] for one in done], tmp_path / "alone.jsonl")
    assert len(list((out / "records").iterdir())) == 2 * CLIPS


def test_s3_killed_in_the_middle(nodes: Any, s3: bool, clips: Path, tmp_path: Path) -> None:
    if not s3:
        pytest.skip("needs s3fs, moto and flask")
    import s3fs

    store = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    for bucket in ("videos", "results"):
        store.mkdir(bucket)
    for number in range(6):
        store.put_file(str(clips / f"clip{number}.mp4"), f"videos/drive/clip{number}.mp4")
    plan = ("--do", "detect", "s3://videos/**/*.mp4", "--results", "s3://results/run", "--cut", "3", "--format",
            "parquet", "--ray", nodes.address, "--workers", "3")
    killed_when(lambda: len(store.glob("results/run/records/*.json")), 1, *plan)
    kept = {one: store.modified(one) for one in store.glob("results/run/records/*.json")}
    again = Job([Detect()], ["s3://videos/drive/*.mp4", "s3://videos/drive"], "s3://results/run", engine=CHOICE,
                address=nodes.address, cut=3.0, workers=3, resume=True, format="parquet")
    progress = again.run()
    assert (progress.done, progress.failed) == (6, {})
    assert progress.kept == len(kept)
    assert {one: store.modified(one) for one in kept} == kept
    manifest = store.cat_file("results/run/manifest.jsonl")
    done = notes(manifest)
    assert len(done) == 6, manifest
    assert [one["source"] for one in done] == [f"s3://videos/drive/clip{number}.mp4" for number in range(6)]
    assert len(store.ls("results/run/records")) == 12

    from vision.scale.columns import records

    found = [one for note in done for one in records(f"results/run/records/{note['records']}", store)]
    here = [str(clips / f"clip{number}.mp4") for number in range(6)]
    expected = alone(here, tmp_path / "alone.jsonl").decode().replace(str(clips), "s3://videos/drive")
    assert found == [json.loads(line) for line in expected.splitlines()]


def test_a_disk_that_is_full_on_one_node(
    nodes: Any, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    full = nodes.add_node(num_cpus=1, env_vars={"TMPDIR": str(disk)})
    lines, hand_out = [], Crew._hand_out

    def when_all_are_there(crew: Crew, next_task: Any) -> None:
        if not lines and len(crew) == 4:
            with suppress(OSError), (disk / "full").open("wb", buffering=0) as file:
                while True:                                 # Python looks for another place, where it is full at first
                    file.write(bytes(4096))
        if lines or len(crew) == 4:
            hand_out(crew, next_task)

    monkeypatch.setattr(Crew, "_hand_out", when_all_are_there)
    try:
        job = Job([Detect()], [str(clips / "clip*.mp4")], str(tmp_path / "out"), engine=CHOICE, address=nodes.address,
                  cut=0, workers=4)
        progress = job.run(lambda progress, line: lines.append(line))
    finally:
        nodes.remove_node(full)
        subprocess.run(["umount", "-l", str(disk)], check=False)
    assert (progress.done, progress.failed, progress.died) == (CLIPS, {}, 0)
    told = [line for line in lines if line]
    assert told
    assert all("No space left on device" in line and "Tried again (2 of 3)" in line for line in told), told


def test_another_version_of_ray_is_told(nodes: Any, clips: Path, tmp_path: Path) -> None:
    arguments = ["vision", "run", str(clips / "clip1.mp4"), "--do", "detect", "--ray", nodes.address, "--results",
                 str(tmp_path / "out")]
    other = (f"import ray, sys; ray.__version__ = '2.0.0'; sys.argv = {arguments!r}; "
             "import vision.__main__ as it; it.main()")
    done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"{nodes.address!r} runs another version of Ray or of Python. Install the same on all" in done.stderr
    assert "Traceback" not in done.stderr


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
