"""Many machines: what Ray costs on this one, and what a million hours of video would take, from those figures.

    python benchmarks/scale.py measure            # throughput beside independent processes, overhead, memory
    python benchmarks/scale.py simulate           # a million hours, with the figures of docs/many-machines.md
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from vision import Detect
from vision.scale.job import Job, Progress
from vision.scale.units import units_of
from vision.scale.worker import Settings, Worker

ENGINE = {"backend": "openvino", "precision": "fp32"}


def clips(folder: Path, count: int, frames: int, size_wh: tuple[int, int] = (320, 240)) -> Path:
    """Short clips of noise that moves."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (size_wh[1], size_wh[0], 3), np.uint8)
    first = folder / "clip0.mp4"
    with av.open(str(first), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv420p"
        for index in range(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, 2 * index, axis=1), "bgr24")))
        out.mux(stream.encode())
    for number in range(1, count):
        (folder / f"clip{number}.mp4").write_bytes(first.read_bytes())
    return folder


def alone(folder: str, output: str, number: int, of: int) -> None:
    """One of several processes that know nothing of each other: every `of`-th file, timed from when it is ready."""
    worker = Worker(Settings((Detect().to_dict(),), output, engine=ENGINE), cores=1)
    from vision import __version__

    assert worker.prepare(__version__) == ""
    units = units_of([folder])[number::of]
    worker.do(replace(units[0], name="warm"))
    print("ready", flush=True)
    sys.stdin.readline()
    for unit in units:
        worker.do(unit)
    print("done", flush=True)


def independent(folder: Path, output: Path, count: int) -> float:
    """Seconds that `count` independent processes take for a folder."""
    command = [sys.executable, __file__, "alone", str(folder), str(output)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen([*command, str(n), str(count)], stdin=pipe, stdout=pipe, text=True)
                 for n in range(count)]
    for one in processes:
        assert one.stdout is not None
        while "ready" not in one.stdout.readline():
            pass
    began = time.perf_counter()
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    for one in processes:
        assert one.stdout is not None
        while "done" not in one.stdout.readline():
            pass
    taken = time.perf_counter() - began
    for one in processes:
        one.wait()
    return taken


def on_ray(folder: Path, output: Path, plan: list[Any], count: int, skip: int) -> tuple[float, list[int]]:
    """Seconds a file on Ray once `skip` files are done, and the driver's memory (kB) on the way."""
    times: list[float] = []
    memory: list[int] = []

    def told(progress: Progress, line: str) -> None:
        assert not line, line
        times.append(time.perf_counter())
        memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024)

    Job(plan, [str(folder)], str(output), engine=ENGINE, workers=count).run(told)
    return (times[-1] - times[skip - 1]) / (len(times) - skip), memory


def measure(files: int, frames: int, tiny: int) -> None:
    """Print what Ray costs beside processes of one's own."""
    count = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many = clips(folder / "clips", files, frames)
        shares = []
        for turn in range(2):                            # in turns, since a machine's mood changes
            by_process = independent(many, folder / f"a{turn}", count) / files
            by_ray, _ = on_ray(many, folder / f"r{turn}", [Detect()], count, skip=2 * count)
            shares.append(by_process / by_ray)
            print(f"{files} clips of {frames} frames, {count} workers: {by_process:.3f} s a file by processes, "
                  f"{by_ray:.3f} on Ray: {shares[-1]:.2f} of their throughput", flush=True)
        small = clips(folder / "tiny", tiny, 1, (32, 32))
        worker = Worker(Settings(({"task": "lanes"},), str(folder / "t"), engine=ENGINE))
        from vision import __version__

        assert worker.prepare(__version__) == ""
        units = units_of([str(small)])
        began = time.perf_counter()
        for unit in units[:200]:
            worker.do(unit)
        bare = (time.perf_counter() - began) / min(200, len(units))
        from vision.steps.plan import spec_of

        each, memory = on_ray(small, folder / "s", [spec_of({"task": "lanes"})], 1, skip=20)
        print(f"{tiny} clips of a frame, one worker: {1000 * bare:.1f} ms a file by itself, {1000 * each:.1f} on Ray")
        tenth = len(memory) // 10
        print(f"the driver's memory: {memory[tenth] / 1024:.1f} MB after {tenth} files, {memory[-1] / 1024:.1f} MB "
              f"after {len(memory)}")


def simulate(hours: float, fps: float, rate: float, cut_s: float, overhead_s: float, driver_s: float, price: float,
             death_h: float) -> None:
    """Print how long, by the number of processors: a queue of units, one driver, workers that die now and then."""
    print(f"{hours:g} hours at {rate:g} frames/s; {fps:g} frames/s a processor, {1000 * overhead_s:g} ms a unit, "
          f"{1000 * driver_s:g} ms of the driver, a worker dies every {death_h:g} h, {price:g} a processor's hour")
    units = round(hours * 3600 / cut_s)
    work = cut_s * rate / fps
    for workers in (100, 1_000, 10_000, 100_000, 1_000_000):
        simulated = min(units, 20 * workers, 400_000)    # a share of it: the queue is steady long before
        if workers > simulated:
            workers_now, scale = simulated, workers / simulated
        else:
            workers_now, scale = workers, 1.0
        chance = random.Random(0)
        free = [(n * driver_s * scale, n) for n in range(workers_now)]
        heapq.heapify(free)
        driver = end = busy = 0.0
        for _ in range(simulated):
            at, worker = heapq.heappop(free)
            driver = max(driver, at) + driver_s * scale  # each unit passes through the driver once
            length = work * chance.uniform(0.9, 1.1) + overhead_s
            lost = length * chance.random() if chance.random() < length / 3600 / death_h else 0.0
            finish = driver + length + (lost + 20.0 if lost else 0.0)
            busy += length - overhead_s
            end = max(end, finish)
            heapq.heappush(free, (finish, worker))
        share = busy / (end * workers_now)
        steady = min(share, 1 / (driver_s * workers / work)) if workers else share
        seconds = units * work / workers / max(steady, 1e-9)
        print(f"{workers:>9} processors: {seconds / 86400:9.2f} days, {100 * steady:5.1f} % busy, "
              f"{price * workers * seconds / 3600 / hours * 1000:9.2f} a thousand hours, "
              f"{units / seconds:8.1f} units a second of the {1 / driver_s:.0f} that the driver can")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure")
    one.add_argument("--files", type=int, default=24)
    one.add_argument("--frames", type=int, default=40)
    one.add_argument("--tiny", type=int, default=10_000)
    other = commands.add_parser("simulate")
    for name, value in (("hours", 1e6), ("fps", 20.0), ("rate", 25.0), ("cut-s", 600.0), ("overhead-s", 0.02),
                        ("driver-s", 0.002), ("price", 0.04), ("death-h", 100.0)):
        other.add_argument(f"--{name}", type=float, default=value)
    hidden = commands.add_parser("alone")
    for name in ("folder", "output", "number", "of"):
        hidden.add_argument(name)
    asked = vars(parser.parse_args())
    command = asked.pop("command")
    if command == "alone":
        alone(asked["folder"], asked["output"], int(asked["number"]), int(asked["of"]))
    else:
        {"measure": measure, "simulate": simulate}[command](**asked)


if __name__ == "__main__":
    main()
