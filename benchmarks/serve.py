"""What a server gives of its engine, beside LitServe, to eight visitors, and after a while.

    python benchmarks/serve.py rest [--rounds 3] [--seconds 8] [--litserve]     # 64 requests under way
    python benchmarks/serve.py visitors --seconds 60 [--visitors 8]             # fair share, memory
    python benchmarks/serve.py delay --seconds 600                      # pictures faster than they can be done
    python benchmarks/serve.py alone                                    # one visitor: server-side latency

`visitors` and `delay` end with status 1 where what is promised does not hold: no error, memory that stays within 20 MB,
70 % of a fair share for each; a delay (p95) of the last minute that is that of the first. `make soak` runs them.

The server runs in a process of its own, on the same machine: what asks it takes processors too. In `rest`, the bare
engine (the network alone, on a picture that is cut to size already), the server and LitServe (extra `bench`) with the
same model and batch size take turns within each round; in `alone`, the bare engine and the server. LitServe has one
worker, as it starts by itself; `--workers 2` gives it two, each with a model of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import re
import statistics
import struct
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import perf_counter
from urllib.request import urlopen

import cv2
import numpy as np
from skimage import data as photographs
from websockets.asyncio.client import connect

from vision import Detector
from vision.tasks.detect import input_view

UNDER_WAY = 64
LITSERVE = """
import base64, sys
import litserve
from vision import Detector
from vision.io.pictures import decode_picture

class Api(litserve.LitAPI):
    def setup(self, device):
        self.model = Detector.load()
    def decode_request(self, request):
        return decode_picture(base64.b64decode(request["picture"]))
    def predict(self, image):
        return self.model(image)
    def encode_response(self, found):
        return found.to_dict(self.model.names)

if __name__ == "__main__":
    litserve.LitServer(Api(max_batch_size=1), accelerator="cpu", workers_per_device=int(sys.argv[2])).run(
        port=int(sys.argv[1]), generate_client_file=False, log_level="error")
"""


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rest", "visitors", "delay", "alone"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--visitors", type=int, default=8)
    parser.add_argument("--litserve", action="store_true")
    parser.add_argument("--workers", type=int, default=1, help="LitServe's")
    args = parser.parse_args()
    print(f"{platform.machine()}, {date.today()}, load {os.getloadavg()[0]:.1f}, {' '.join(sys.argv[1:])}")
    {"rest": rest, "visitors": visitors, "delay": delay, "alone": alone}[args.what](args)


def picture() -> np.ndarray:
    """A photograph, 640x480 pixels, BGR."""
    return cv2.resize(cv2.cvtColor(photographs.astronaut(), cv2.COLOR_RGB2BGR), (640, 480))


def jpeg() -> bytes:
    """The same as a camera's page sends it."""
    return cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


@contextmanager
def served() -> Iterator[tuple[int, int]]:
    """`vision serve` in a process of its own: its port and its id."""
    process = subprocess.Popen([sys.executable, "-m", "vision", "serve", "--do", "track", "--port", "0",
                                "--max-rate", "100000"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        port = 0
        for line in process.stderr:
            if found := re.match(r"http://127.0.0.1:(\d+)", line):
                port = int(found[1])
            if line.startswith("ready"):
                break
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def litserved(port: int, workers: int) -> Iterator[int]:
    """LitServe with the same model, one picture at a time in each worker."""
    file = Path(tempfile.mkdtemp()) / "api.py"
    file.write_text(LITSERVE, encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(file), str(port), str(workers)], start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=1).read()
                break
            except OSError:
                asyncio.run(asyncio.sleep(0.2))
        yield port
    finally:
        subprocess.run(["kill", "--", f"-{process.pid}"], check=False)
        process.wait()


def rest(args: argparse.Namespace) -> None:
    """Requests a second with 64 under way, of what the engine does by itself."""
    detector = Detector.load()
    view = input_view(picture(), detector.card.input, detector.engine.input_wh)
    engine = detector.engine
    print(f"engine: {engine.label}")
    found: dict[str, list[float]] = {"bare engine": [], "vision serve": [], "LitServe": []}
    with served() as (port, _), (litserved(port + 1, args.workers) if args.litserve else _nothing()) as other:
        for round_ in range(args.rounds + 1):
            seconds = args.seconds if round_ else 2          # the first one warms up
            rates = {"bare engine": bare(engine, view.pixels[None], seconds),
                     "vision serve": asyncio.run(asked(port, "/v1/detect", "image/jpeg", jpeg(), seconds))}
            if other:
                body = json.dumps({"picture": base64.b64encode(jpeg()).decode()}).encode()
                rates["LitServe"] = asyncio.run(asked(other, "/predict", "application/json", body, seconds))
            if round_:
                for name, rate in rates.items():
                    found[name].append(rate)
    for name, rates in found.items():
        if rates:
            print(f"{name:14s} {statistics.median(rates):6.1f} pictures/s ({', '.join(f'{r:.1f}' for r in rates)})")
    shares = [one / bare_ for one, bare_ in zip(found["vision serve"], found["bare engine"], strict=True)]
    print(f"of the bare engine: {statistics.median(shares):.2f} ({', '.join(f'{one:.2f}' for one in shares)})")
    if found["LitServe"]:
        times = [one / lit for one, lit in zip(found["vision serve"], found["LitServe"], strict=True)]
        print(f"times LitServe: {statistics.median(times):.2f} ({', '.join(f'{one:.2f}' for one in times)})")


@contextmanager
def _nothing() -> Iterator[int]:
    yield 0


def bare(engine: object, batch: np.ndarray, seconds: float) -> float:
    """Pictures a second of the network alone, as many under way as it likes."""
    under_way: deque[object] = deque()
    done, began = 0, perf_counter()
    while perf_counter() - began < seconds:
        while len(under_way) < engine.in_flight:
            under_way.append(engine.submit(batch))
        under_way.popleft().result()
        done += 1
    rate = done / (perf_counter() - began)
    for one in under_way:
        one.result()
    return rate


async def asked(port: int, path: str, kind: str, body: bytes, seconds: float) -> float:
    """Answers a second with 64 requests under way, by a client that does next to nothing itself."""
    request = (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
               "\r\n\r\n").encode() + body
    done, end = 0, perf_counter() + seconds

    async def ask() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while perf_counter() < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
            done += perf_counter() < end
        writer.close()

    await asyncio.gather(*(ask() for _ in range(UNDER_WAY)))
    return done / seconds


async def visit(port: int, seconds: float, plan: dict[str, object]) -> list[tuple[float, float]]:
    """One visitor with one picture under way: when each answer came, and how long the server took, in milliseconds."""
    body, found, number = jpeg(), list[tuple[float, float]](), 0
    async with connect(f"ws://127.0.0.1:{port}/v1/stream", compression=None, proxy=None, max_size=None) as socket:
        await socket.send(json.dumps({"plan": plan}))
        assert "ready" in json.loads(await socket.recv())
        began = perf_counter()
        while perf_counter() - began < seconds:
            await socket.send(struct.pack("<d", 40.0 * number) + body)
            answer = json.loads(await socket.recv())
            assert "record" in answer, answer
            found.append((perf_counter() - began, answer["server_ms"]))
            number += 1
    return found


def visitors(args: argparse.Namespace) -> None:
    """Several visitors at once: what each gets, and the server's memory."""
    with served() as (port, process):
        async def all_of_them() -> tuple[list[list[tuple[float, float]]], float]:
            first = asyncio.create_task(_later(min(10, args.seconds / 4), process))
            found = await asyncio.gather(*(visit(port, args.seconds, {"track": {}}) for _ in range(args.visitors)))
            return found, await first

        found, before = asyncio.run(all_of_them())
        after = memory(process)
    counts = [len(one) for one in found]
    share = sum(counts) / len(counts)
    print(f"memory: {before:.0f} MB, at the end {after:.0f} MB")
    print(f"{args.visitors} visitors for {args.seconds:g} s: {share / args.seconds:.1f} records/s each, "
          f"the least served {min(counts) / share:.2f} of a fair share")
    if after > before + 20 or min(counts) < 0.7 * share:
        sys.exit("memory grows, or somebody has less than 70 % of a fair share")


async def _later(seconds: float, process: int) -> float:
    await asyncio.sleep(seconds)
    return memory(process)


def memory(process: int) -> float:
    """What a process holds, in MB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def delay(args: argparse.Namespace) -> None:
    """Pictures at 100 a second, whatever is answered: the server's delay in the first and in the last part."""
    with served() as (port, _):
        found = asyncio.run(flood(port, args.seconds))
    part, p95s = min(60.0, args.seconds / 6), []
    for name, chosen in (("first", [ms for at, ms in found if at < part]),
                         ("last", [ms for at, ms in found if at > args.seconds - part])):
        p50, p95 = np.percentile(chosen, [50, 95])
        p95s.append(p95)
        print(f"{name} {part:.0f} s: {len(chosen)} records, p50 {p50:.0f} ms, p95 {p95:.0f} ms")
    if p95s[1] > 1.2 * p95s[0] + 10:
        sys.exit("the delay has grown")


async def flood(port: int, seconds: float) -> list[tuple[float, float]]:
    """When each record came, and the server's milliseconds."""
    body, found = jpeg(), list[tuple[float, float]]()
    async with connect(f"ws://127.0.0.1:{port}/v1/stream", compression=None, proxy=None, max_size=None) as socket:
        await socket.send(json.dumps({"plan": {"detect": {}}}))
        assert "ready" in json.loads(await socket.recv())
        began = perf_counter()

        async def send() -> None:
            number = 0
            while perf_counter() - began < seconds:
                await socket.send(struct.pack("<d", 10.0 * number) + body)
                number += 1
                await asyncio.sleep(0.01)

        sending = asyncio.create_task(send())
        while perf_counter() - began < seconds:
            found.append((perf_counter() - began, json.loads(await socket.recv())["server_ms"]))
        await sending
    return found


def alone(args: argparse.Namespace) -> None:
    """One visitor: the server's own latency, and that of the network alone."""
    detector = Detector.load()
    pixels = input_view(picture(), detector.card.input, detector.engine.input_wh).pixels[None]
    network, whole = list[float](), list[float]()
    with served() as (port, _):
        for round_ in range(2 * args.rounds + 1):                # the first one warms up
            spent = []
            for _ in range(10):
                began = perf_counter()
                detector.engine.submit(pixels).result()
                spent.append(1000 * (perf_counter() - began))
            found = asyncio.run(visit(port, args.seconds / args.rounds / 2, {"detect": {}}))
            if round_:
                network += spent
                whole += [ms for _, ms in found]
    for name, times in (("the network", network), ("server-side", whole)):
        p50, p95 = np.percentile(times, [50, 95])
        print(f"{name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms")


if __name__ == "__main__":
    main()
