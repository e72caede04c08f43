"""Real streams on this machine that stall, drop and come back: gaps, several at once, and exact counts."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cameras import Cameras, Nth, Part, mjpeg, picture

from vision import Frame, JsonLines, Run, VideoFile, read
from vision.errors import SourceError


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def number(frame: Frame) -> int:
    return round(float(frame.image.mean()) / 10)


def test_pictures_that_state_no_time_have_the_time_at_which_they_come(cameras: Cameras) -> None:
    """FFmpeg makes up 25 a second for them; these come every 100 ms."""
    cameras.parts["/cam"] = [mjpeg(range(12), 0.1)]
    got: list[Frame] = []
    with read(cameras.url("/cam")) as source, pytest.raises(SourceError, match="lost after 12 frames"):
        got.extend(source)
    assert source.info.live
    assert [number(frame) for frame in got] == list(range(12))
    late = np.diff([frame.time for frame in got])[2:]            # the first ones wait while the stream is opened
    assert late == pytest.approx(0.1, abs=0.05)
    assert got[-1].time == pytest.approx(got[-1].captured - got[0].captured, abs=1e-6)


def test_a_camera_that_drops_and_comes_back_leaves_a_gap_of_that_length(cameras: Cameras, tmp_path: Path) -> None:
    cameras.parts["/cam"] = [mjpeg(range(8)), None, mjpeg(range(8, 16))]
    out = tmp_path / "out.jsonl"
    with Run(cameras.url("/cam"), Nth(), sinks=[JsonLines(out)]) as run, pytest.raises(SourceError, match="lost after"):
        run.finish()
    lines = records(out)
    (at,) = [n for n, line in enumerate(lines) if line["kind"] == "gap"]
    before, gap, after = lines[at - 1], lines[at], lines[at + 1]
    assert (gap["source"], gap["time_s"]) == (after["source"], after["time_s"])
    assert gap["gap_s"] == pytest.approx(after["time_s"] - before["time_s"], abs=0.1)
    assert gap["gap_s"] > 0.15                           # the two pauses
    assert [line["frame"] for line in lines if line["kind"] == "frame"] == sorted(
        line["frame"] for line in lines if line["kind"] == "frame")
    report = run.report
    assert report.read == 16
    assert report.inferred == report.written == len(lines) - 1
    assert report.unexplained == 0
    assert any("came back" in note for note in report.notes)


def test_a_stall_is_no_gap_but_time_goes_on(cameras: Cameras) -> None:
    cameras.parts["/cam"] = [[*mjpeg(range(6))[:-1], *mjpeg([6], 0.5), *mjpeg(range(7, 10))]]
    with read(cameras.url("/cam"), max_frames=10) as source:
        got = list(source)
    steps = np.diff([frame.time for frame in got])
    assert steps.argmax() == 5
    assert steps[5] == pytest.approx(0.5, abs=0.1)
    assert not any(frame.gap for frame in got)


def transport(tmp_path: Path, lost: range) -> Part:
    """An MPEG transport stream that is sent in pieces, some of which are lost."""
    path = tmp_path / "cam.ts"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25, options={"g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for n in range(100):
            image = np.random.default_rng(n).integers(0, 255, (240, 320, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        out.mux(stream.encode())
    data = path.read_bytes()
    pieces = [data[i : i + 1316] for i in range(0, len(data), 1316)]                # seven packets, as over UDP
    kept = [piece for n, piece in enumerate(pieces) if n * 100 // len(pieces) not in lost]
    return [(0.0, b"".join(kept[i : i + 40])) for i in range(0, len(kept), 40)]


def test_lost_packets_are_corrupt_frames_and_every_frame_is_accounted_for(cameras: Cameras, tmp_path: Path) -> None:
    """Of 100 frames the packets of 40 to 44 are lost: what cannot be decoded whole is told, what can is written."""
    cameras.parts["/cam.ts"] = [transport(tmp_path, range(40, 45))]
    out = tmp_path / "out.jsonl"
    with Run(cameras.url("/cam.ts"), Nth(), sinks=[JsonLines(out)]) as run, pytest.raises(SourceError):
        run.finish()
    report = run.report
    assert report.corrupt >= 1
    assert 85 <= report.read <= 99
    assert report.read == report.written + sum(report.dropped.values())
    assert report.written == len([line for line in records(out) if line["kind"] == "frame"])
    assert report.unexplained == 0


def test_frames_that_a_slow_run_passes_over_are_counted_as_late(cameras: Cameras) -> None:
    cameras.parts["/cam"] = [mjpeg([n % 25 for n in range(40)])]
    with Run(cameras.url("/cam"), Nth(slow=0.1)) as run, pytest.raises(SourceError):
        run.finish()
    assert run.report.read == 40
    assert run.report.written < 25
    assert run.report.dropped == {"late": 40 - run.report.written}


def test_two_cameras_are_read_at_once_and_one_that_dies_does_not_end_the_other(
    cameras: Cameras, tmp_path: Path
) -> None:
    cameras.parts["/a"] = [mjpeg([n % 25 for n in range(60)])]
    cameras.parts["/b"] = [mjpeg([n % 25 for n in range(8)])]
    sources = [cameras.url("/a"), cameras.url("/b")]
    out = tmp_path / "out.jsonl"
    sinks = [JsonLines(out), VideoFile(tmp_path / "films")]
    with Run(sources, Nth(), sinks=sinks) as run, pytest.raises(SourceError, match=r"/b' was lost after 8 frames"):
        run.finish()
    reports = {report.source: report for report in run.reports}
    assert [reports[uri].read for uri in sources] == [60, 8]
    lines = records(out)
    for uri in sources:
        own = [line for line in lines if line["source"] == uri]
        assert len(own) == reports[uri].written
        assert [line["nth"]["scores"][0]["score"] for line in own] == list(range(1, len(own) + 1))
        assert reports[uri].read == reports[uri].written + sum(reports[uri].dropped.values())
    order = [line["source"] for line in lines]
    assert order.index(sources[0]) < len(order) - order[::-1].index(sources[1])          # they were mixed
    films = {path.name: len(list(read(path))) for path in (tmp_path / "films").glob("*.mp4")}
    assert films == {f"{name}-nth.mp4": reports[uri].written for name, uri in zip("ab", sources, strict=True)}


def test_a_camera_that_comes_back_goes_on_as_a_new_stream(cameras: Cameras, tmp_path: Path) -> None:
    """One that was lost for good, and one that is missing at the start."""
    cameras.parts["/a"] = [mjpeg([n % 25 for n in range(100)])]
    cameras.parts["/b"] = [mjpeg(range(5)), None, None, None, None, mjpeg(range(7))]
    cameras.parts["/c"] = [None, None, None, mjpeg(range(6))]
    uris = [cameras.url(path) for path in ("/a", "/b", "/c")]
    out = tmp_path / "out.jsonl"
    with Run(uris, Nth(), sinks=[JsonLines(out)]) as run, pytest.raises(SourceError):
        run.finish()
    read_of = {uri: [report.read for report in run.reports if report.source == uri] for uri in uris}
    assert read_of == {uris[0]: [100], uris[1]: [5, 7], uris[2]: [0, 6]}
    lines = records(out)
    again = [line["nth"]["scores"][0]["score"] for line in lines if line["source"] == uris[1]]
    assert again.count(1.0) == 2                         # its steps began anew
    assert all(report.unexplained == 0 for report in run.reports)


def test_leaving_the_loop_ends_all_of_them_with_whole_outputs(cameras: Cameras, tmp_path: Path) -> None:
    for path in ("/a", "/b"):
        cameras.parts[path] = [mjpeg([n % 25 for n in range(500)])]
    uris = [cameras.url(path) for path in ("/a", "/b")]
    before = set(threading.enumerate())                  # engines that other tests keep have threads of this name too
    began = time.monotonic()
    with Run(uris, Nth(), sinks=[VideoFile(tmp_path)]) as run:
        seen = Counter[str]()
        for item in run:
            seen[item.frame.source] += 1
            if min(seen[uri] for uri in uris) >= 5:
                break
    assert time.monotonic() - began < 5
    for report, name in zip(run.reports, ("a", "b"), strict=True):
        assert len(list(read(tmp_path / f"{name}-nth.mp4"))) == report.written >= 5
        assert report.unexplained == 0
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("vision")]


def test_files_that_play_cameras_are_read_at_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as out:
            stream: Any = out.add_stream("libx264", rate=20)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for n in range(20):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(n), "bgr24")))
            out.mux(stream.encode())
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    began = time.monotonic()
    with Run([partial(read, path, realtime=True) for path in paths], Nth()) as run:
        run.finish()
    assert time.monotonic() - began < 1.9                # each lasts a second
    assert [report.read for report in run.reports] == [20, 20]


def test_open_sources_are_read_at_once_and_not_again(cameras: Cameras) -> None:
    cameras.parts["/a"] = [mjpeg([n % 25 for n in range(50)])]
    cameras.parts["/b"] = [mjpeg(range(5)), None, None, None, mjpeg(range(5))]
    sources = [read(cameras.url("/a")), read(cameras.url("/b"))]
    with Run(sources, Nth()) as run, pytest.raises(SourceError):
        run.finish()
    assert [report.read for report in run.reports] == [50, 5]


def test_a_list_of_cameras_is_read_at_once(cameras: Cameras, tmp_path: Path) -> None:
    cameras.parts["/a"] = [mjpeg(range(20))]
    cameras.parts["/b"] = [mjpeg(range(20))]
    listed = tmp_path / "cams.txt"
    listed.write_text("".join(cameras.url(path) + "\n" for path in ("/a", "/b")))
    began = time.monotonic()
    with Run(listed, Nth()) as run, pytest.raises(SourceError):
        run.finish()
    assert [report.read for report in run.reports] == [20, 20]
    assert time.monotonic() - began < 4


def test_one_source_is_not_read_at_once_nor_are_files() -> None:
    for source in ("clip.mp4", "0", ["a.mp4", "b.mp4"], "-"):
        assert Run(source, Nth()).at_once() is None
