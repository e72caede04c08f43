"""Many machines: what Ray costs on this one, and what a million hours of video would take, from those figures.

    python benchmarks/scale.py measure scale.json     # throughput on 1, 2, ... workers beside as many processes
    python benchmarks/scale.py files scale.json       # 10,000 files: what Ray costs a file, and the driver's memory
    python benchmarks/scale.py simulate scale.json    # a million hours, from these constants
    python benchmarks/scale.py picture scale.json speed-up.png

`scale.json` is written by the first two, each its part, and read by the others.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np

from vision import Detect, __version__
from vision.benchmark.meter import memory_mib
from vision.scale.job import Job, Progress
from vision.scale.units import units_of
from vision.scale.worker import Settings, Worker
from vision.steps.base import Spec

ENGINE = {"backend": "openvino", "precision": "fp32"}
WORKERS = (100, 1_000, 10_000, 100_000, 1_000_000)       # of the simulation


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


@dataclass
class OnRay:
    """A job on Ray. ready_s: until the first file is done. each_s: of a file, once `skip` of them are done. driver_s:
    of the driver's processor, a file. memory: of the driver, MiB, after each file."""

    ready_s: float
    each_s: float
    driver_s: float
    memory: Sequence[float]


@contextmanager
def machine(cores: int) -> Iterator[None]:
    """Ray on so many cores of this machine, one for each worker; a process beside it keeps to one, too."""
    os.environ |= {"RAY_worker_niceness": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    import ray

    ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
             object_store_memory=100 << 20)
    try:
        yield
    finally:
        ray.shutdown()


def on_ray(folder: Path, output: Path, plan: list[Spec], count: int, skip: int) -> OnRay:
    """All files of a folder on Ray."""
    times, busy, memory = array("d", [time.perf_counter()]), array("d", [0.0]), array("d")

    def told(progress: Progress, line: str) -> None:
        assert not line, line
        times.append(time.perf_counter())
        busy.append(time.process_time())
        memory.append(memory_mib())
        if len(memory) % 1000 == 0:
            print(f"{len(memory)} files: {memory[-1]:.1f} MiB of the driver", flush=True)

    with machine(count):
        Job(plan, [str(folder)], str(output), engine=ENGINE, workers=count).run(told)
    files = len(memory) - skip
    return OnRay(times[1] - times[0], (times[-1] - times[skip]) / files, (busy[-1] - busy[skip]) / files, memory)


def measure(out: Path, files: int, frames: int, turns: int) -> None:
    """Files a second on Ray and by independent processes, with 1 worker, 2, 4, ... as many as cores."""
    cores = len(os.sched_getaffinity(0))
    counts = sorted({cores, *(2**n for n in range(cores.bit_length()) if 2**n <= cores)})
    rows: list[dict[str, Any]] = [{"workers": count, "processes": [], "ray": [], "ready_s": []} for count in counts]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many = clips(folder / "clips", files, frames)
        for turn in range(turns):                        # in turns, since a machine's mood changes
            for row in rows:
                count, place = row["workers"], folder / f"{turn}-{row['workers']}"
                row["processes"].append(files / independent(many, place / "a", count))
                found = on_ray(many, place / "r", [Detect()], count, skip=2 * count)
                row["ray"].append(1 / found.each_s)
                row["ready_s"].append(found.ready_s)
                theirs, ours = row["processes"][-1], row["ray"][-1]
                print(f"{files} clips of {frames} frames, {count} workers: {theirs:.2f} files a second by processes, "
                      f"{ours:.2f} on Ray: {ours / theirs:.2f} of it", flush=True)
    for row in rows:
        shares = [ray / alone for ray, alone in zip(row["ray"], row["processes"], strict=True)]
        row["share"] = median(shares)
        print(f"{row['workers']} workers: {row['share']:.3f} of as many processes ({len(shares)} turns)")
    kept(out, throughput=rows, clip_frames=frames)


def one_by_one(plan: list[Spec], units: list[Any], output: Path) -> float:
    """Seconds a file in a worker without Ray."""
    worker = Worker(Settings(tuple(one.to_dict() for one in plan), str(output), engine=ENGINE))
    assert worker.prepare(__version__) == ""
    began = time.perf_counter()
    for unit in units:
        worker.do(unit)
    return (time.perf_counter() - began) / len(units)


def files(out: Path, count: int) -> None:
    """What Ray costs a small file, and the driver's memory over many."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = clips(folder / "tiny", count, 1, (32, 32))
        some = units_of([str(small)])[:300]
        (folder / "boxes.txt").write_text("1,-1,5,5,10,10,0.9,-1,-1,-1\n")
        plan: list[Spec] = [Detect(stored=folder / "boxes.txt")]             # which costs nothing
        before = one_by_one(plan, some, folder / "before")
        found = on_ray(small, folder / "s", plan, 1, skip=20)
        alone = (before + one_by_one(plan, some, folder / "after")) / 2
    memory = found.memory
    tenth = len(memory) // 10
    slope = float(np.polyfit(np.arange(tenth, len(memory)) / 1000, memory[tenth:], 1)[0])
    print(f"{count} clips of a frame, one worker: {1000 * alone:.1f} ms a file by itself, {1000 * found.each_s:.1f} on "
          f"Ray: {1000 * (found.each_s - alone):.1f} ms more; {1000 * found.driver_s:.1f} ms of the driver's processor")
    print(f"the driver's memory: {memory[tenth]:.1f} MiB after {tenth} files, {memory[-1]:.1f} after {len(memory)}, "
          f"{slope:+.2f} MiB a thousand files")
    kept(out, files=count, alone_s=alone, ray_s=found.each_s, driver_s=found.driver_s, ready_s=found.ready_s,
         memory_mib=[memory[tenth], memory[-1]], memory_slope=slope)


def kept(out: Path, **values: Any) -> None:
    """Put these among the figures of a file."""
    known = json.loads(out.read_text()) if out.exists() else {}
    out.write_text(json.dumps(known | values, indent=1) + "\n")


@dataclass
class Cluster:
    """What is simulated. hours: of video, at `rate` frames a second, in ranges of cut_s. fps: of a processor.
    overhead_s: of a range, besides. driver_s: of the one driver, a range. ready_s: until a worker is up. death_h: after
    which one dies, in the mean."""

    hours: float
    rate: float
    fps: float
    cut_s: float
    overhead_s: float
    driver_s: float
    ready_s: float
    death_h: float

    def seconds(self, workers: int) -> float:
        """How long it takes: a queue of ranges, one driver that hands them out, workers that die now and then and do
        their range again."""
        chance = random.Random(0)
        work = self.cut_s * self.rate / self.fps
        units = round(self.hours * 3600 / self.cut_s)
        free = [self.ready_s] * min(workers, units)      # which is a heap
        driver = end = 0.0
        for _ in range(units):
            driver = max(driver, free[0]) + self.driver_s
            length = work * chance.uniform(0.9, 1.1) + self.overhead_s
            while chance.random() < length / 3600 / self.death_h:
                length += length * chance.random() + self.ready_s
            heapq.heapreplace(free, driver + length)
            end = max(end, driver + length)
        return end


def constants(measured: dict[str, Any], asked: dict[str, float]) -> Cluster:
    """Measured constants, unless others were asked for; those of a table where nothing was measured."""
    known = {"overhead_s": max(0.0, measured.get("ray_s", 0.02) - measured.get("alone_s", 0.0)),
             "driver_s": measured.get("driver_s", 0.002), "ready_s": measured.get("ready_s", 20.0)}
    return Cluster(**{**known, **{name: value for name, value in asked.items() if value is not None}})


def simulate(measured: Path, price: float, **asked: Any) -> None:
    """Print days and costs, by the number of processors."""
    known = json.loads(measured.read_text()) if measured.exists() else {}
    made = constants(known, asked)
    print(f"{made.hours:g} hours at {made.rate:g} frames/s in ranges of {made.cut_s:g} s; {made.fps:g} frames/s a "
          f"processor; {1000 * made.overhead_s:.1f} ms a range, {1000 * made.driver_s:.2f} ms of the driver, a worker "
          f"is up after {made.ready_s:.0f} s and dies every {made.death_h:g} h; {price:g} a processor's hour")
    work = made.hours * 3600 * made.rate / made.fps      # seconds of one processor
    for workers in WORKERS:
        took = made.seconds(workers)
        rate = made.hours * 3600 / made.cut_s / took
        print(f"{workers:>9} processors: {took / 86400:8.2f} days, {100 * work / took / workers:5.1f} % busy, "
              f"{price * workers * took / 3600 / made.hours * 1000:8.2f} a thousand hours of video, {rate:7.1f} ranges "
              f"a second of the {1 / made.driver_s:.0f} that the driver can")


def picture(measured: Path, out: Path) -> None:
    """Speed-up over workers: measured ones filled, simulated ones hollow."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    known = json.loads(measured.read_text())
    rows = known["throughput"]
    one = median(rows[0]["ray"])
    figure, axes = pyplot.subplots(figsize=(7, 5))
    most = 100_000
    axes.plot([1, most], [1, most], color="0.75", linewidth=1, label="as many times as workers")
    axes.plot([row["workers"] for row in rows], [median(row["processes"]) / one for row in rows], "s", color="tab:gray",
              label="measured: independent processes")
    axes.plot([row["workers"] for row in rows], [median(row["ray"]) / one for row in rows], "o", color="tab:blue",
              markersize=8, label="measured: on Ray")
    made = constants(known, {"hours": 100_000, "rate": 25.0, "fps": 20.0, "cut_s": 600.0, "death_h": 100.0})
    counts = [10, 100, 1_000, 10_000, most]
    single = made.hours * 3600 / made.cut_s * (made.cut_s * made.rate / made.fps + made.overhead_s)
    axes.plot(counts, [single / made.seconds(count) for count in counts], "o--", color="tab:orange", fillstyle="none",
              markersize=8, label="simulated: 100,000 hours of video, one driver")
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="times as fast as one worker")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure")
    one.add_argument("out", type=Path)
    for name, value in (("files", 24), ("frames", 40), ("turns", 3)):
        one.add_argument(f"--{name}", type=int, default=value)
    two = commands.add_parser("files")
    two.add_argument("out", type=Path)
    two.add_argument("--count", type=int, default=10_000)
    three = commands.add_parser("simulate")
    three.add_argument("measured", type=Path)
    for name, default in (("hours", 1e6), ("fps", 20.0), ("rate", 25.0), ("cut-s", 600.0), ("price", 0.04),
                          ("death-h", 100.0), ("overhead-s", None), ("driver-s", None), ("ready-s", None)):
        three.add_argument(f"--{name}", type=float, default=default)
    four = commands.add_parser("picture")
    four.add_argument("measured", type=Path)
    four.add_argument("out", type=Path)
    hidden = commands.add_parser("alone")
    for name in ("folder", "output", "number", "of"):
        hidden.add_argument(name)
    asked = vars(parser.parse_args())
    command = asked.pop("command")
    if command == "alone":
        alone(asked["folder"], asked["output"], int(asked["number"]), int(asked["of"]))
    else:
        {"measure": measure, "files": files, "simulate": simulate, "picture": picture}[command](**asked)


if __name__ == "__main__":
    main()
