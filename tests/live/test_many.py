"""Cameras that fail again and again: every gap is told, memory stays flat, and the others never notice."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cameras import Cameras, FakeCapture, Nth, Part, mjpeg
from test_live import records

from vision import Detect, Detector, FakeEngine, JsonLines, Run, Track, VideoWriter, read
from vision.card import Card, Input
from vision.io import live

FAILS_EVERY = 200                                        # frames
HOUR = 30 * 3600                                         # frames
CARD = Card(name="box", task="detect", file="", licence="mine", source="here", input=Input((64, 64), "stretch"),
            names=("thing",))


def resident() -> float:
    """MiB of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def fails_and_comes_back(camera: type[FakeCapture], frames: int, out: Path) -> tuple[list[float], list[float]]:
    """Read so many frames of a camera that fails every 200: the gaps that were told, memory in MiB along the way."""
    camera.pause, camera.lasts, camera.size_wh = 0.0, FAILS_EVERY, (320, 240)
    held: list[float] = []
    source = read(0, reconnect=True, max_frames=frames)
    with Run(source, Nth(), [JsonLines(out)]) as run:
        for item in run:
            if item.frame.index // (frames // 10) >= len(held):
                held.append(resident())
    assert run.report.unexplained == 0
    assert run.report.read == frames
    with out.open() as lines:
        return [line["gap_s"] for line in map(json.loads, lines) if line["kind"] == "gap"], held


def test_every_gap_of_a_camera_that_fails_is_told(
    camera: type[FakeCapture], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(live, "PAUSES_S", (0.01,))
    gaps, _ = fails_and_comes_back(camera, 2000, tmp_path / "out.jsonl")
    assert len(gaps) == 9
    assert min(gaps) >= 0.01


@pytest.mark.soak
@pytest.mark.skipif("VISION_SOAK" not in os.environ, reason="an hour's worth of frames: make soak")
def test_an_hour_with_a_camera_that_fails_every_200_frames(
    camera: type[FakeCapture], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(live, "PAUSES_S", (0.01,))
    gaps, held = fails_and_comes_back(camera, HOUR, tmp_path / "out.jsonl")
    assert len(gaps) == HOUR // FAILS_EVERY - 1
    assert held[-1] - held[2] < 20                       # MiB, from a fifth of the hour to its end


def boxes(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A box for each picture, where it is bright."""
    place = batch.reshape(len(batch), 64, 64, 3).mean(axis=(1, 3)).argmax(axis=1)
    found = np.stack([np.float32([[x / 2, 8, x / 2 + 24, 40]]) for x in place])
    return found, np.full((len(batch), 1, 1), 0.9, np.float32)


def played(paths: list[Path], dying: str | None, out: Path) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """The records of files that play cameras, read at once with a stream that dies until all of them have ended; how
    many frames came late, on a machine that has other things to do."""
    detector = Detector(FakeEngine(boxes), CARD)
    sources = [partial(read, path, realtime=True) for path in paths]
    sources += [] if dying is None else [partial(read, dying, reconnect=True)]
    with Run(sources, [Detect(detector), Track()], [JsonLines(out)]) as run:
        left, together = {str(path) for path in paths}, run.at_once()
        for stream, item in together or ((run, item) for item in run):
            left -= {stream.report.source} if item is None else set()
            if not left:
                break
        late = sum(report.dropped.get("late", 0) for report in run.reports if report.source != dying)
        assert all(report.unexplained == 0 for report in run.reports if report.source != dying)
    found: dict[str, list[dict[str, Any]]] = {}
    for line in records(out):
        found.setdefault(line["source"], []).append(line)
    return found, late


def four(cameras: Cameras, folder: Path, frames: int, dying: Part) -> list[dict[str, Any]]:
    """Three streams of so many frames have, beside a fourth, which dies again and again, the records that each has
    alone. Returns the gaps of the fourth. dying: one life of it."""
    paths, late = [], 0
    alone: dict[str, list[dict[str, Any]]] = {}
    for n in range(3):
        paths.append(folder / f"{n}.mp4")
        with VideoWriter(paths[n]) as film:
            for k in range(frames):
                image = np.zeros((96, 128, 3), np.uint8)
                at = (n + 1) * k % 120
                image[:, at : at + 8] = 250
                film.write(image, k / 20)
        found, skipped = played([paths[n]], None, folder / f"{n}.jsonl")
        alone, late = alone | found, late + skipped
    cameras.parts["/d"] = [part for _ in range(frames) for part in (dying, None)]
    fourth = cameras.url("/d")
    together, skipped = played(paths, fourth, folder / "all.jsonl")
    late += skipped
    for uri in map(str, paths):
        if not late:                                     # to the last digit, tracks and their ages included
            assert together[uri] == alone[uri]
        else:
            both = {line["frame"]: line["detect"] for line in alone[uri]}
            same = [line["detect"] == both[line["frame"]] for line in together[uri] if line["frame"] in both]
            assert len(same) > frames // 2
            assert all(same)
    return [line for line in together[fourth] if line["kind"] == "gap"]


def test_of_four_streams_one_that_dies_and_returns_changes_nothing_for_the_others(
    cameras: Cameras, tmp_path: Path
) -> None:
    assert len(four(cameras, tmp_path, 40, mjpeg(range(8)))) >= 2        # it died, and came back, more than once


@pytest.mark.soak
@pytest.mark.skipif("VISION_SOAK" not in os.environ, reason="two minutes of four streams: make soak")
def test_of_four_streams_one_dies_every_second_for_a_minute(cameras: Cameras, tmp_path: Path) -> None:
    assert len(four(cameras, tmp_path, 1200, mjpeg(range(20), 0.045))) >= 30
