"""Odd videos: counts, times and indices are a bare decoder's, from the beginning and from any start."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from fractions import Fraction
from hashlib import md5
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numbered import MakeVideo, number

from vision.io import read
from vision.io.clock import BestEffort

COUNT, RATE = 80, 10
OPEN = {"x264-params": "open-gop=1:keyint=20:bframes=3:scenecut=0:log-level=-1"}
OPEN_265 = {"x265-params": "open-gop=1:keyint=20:min-keyint=20:bframes=3:scenecut=0:log-level=none"}
Make = Callable[[MakeVideo, Path], Path]


def times(count: int = COUNT) -> list[float]:
    return [i / RATE for i in range(count)]


def copied(source: Path, out: Path, keep: Callable[[int], bool] = lambda n: True, shift_s: float = 0.0,
           options: dict[str, str] | None = None) -> Path:                           # fmt: skip
    """A copy of a video's packets: of those that are kept, at other times."""
    with av.open(str(source)) as container, av.open(str(out), "w", options=options or {}) as target:
        stream = target.add_stream_from_template(container.streams.video[0])
        for n, packet in enumerate(p for p in container.demux(video=0) if p.size):
            if keep(n):
                ticks = round(shift_s / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + ticks, packet.dts + ticks, stream
                target.mux(packet)
    return out


def from_key(source: Path) -> Callable[[int], bool]:
    """Whether a packet comes at or after the third key frame."""
    with av.open(str(source)) as container:
        keys = [n for n, p in enumerate(p for p in container.demux(video=0) if p.size) if p.is_keyframe]
    return lambda n: n >= keys[2]


def edited(source: Path, out: Path, edits: list[tuple[int, int]]) -> Path:
    """An mp4 whose edit list is another: milliseconds that are shown, and from which tick of the media (-1: empty)."""
    data = source.read_bytes()
    at = data.index(b"elst") - 4
    (size,) = struct.unpack(">I", data[at : at + 4])
    body = b"elst" + bytes(4) + struct.pack(">I", len(edits))
    body += b"".join(struct.pack(">IiI", length, start, 1 << 16) for length, start in edits)
    grown = len(body) + 4 - size
    new = bytearray(data[:at] + struct.pack(">I", len(body) + 4) + body + data[at + size :])
    for box in (b"edts", b"trak", b"moov"):
        place = new.rindex(box, 0, at) - 4
        new[place : place + 4] = struct.pack(">I", struct.unpack(">I", new[place : place + 4])[0] + grown)
    assert data.index(b"mdat") < data.index(b"moov")                 # else the places of samples would move
    out.write_bytes(new)
    return out


def plain(make: MakeVideo, folder: Path) -> Path:
    return make("plain.mp4", times(), options={"g": "20", "bf": "3"}, tick=Fraction(1, 10240))


def opened(make: MakeVideo, folder: Path) -> Path:
    return make("open.mp4", times(), options=OPEN, tick=Fraction(1, 10240))


def opened_265(make: MakeVideo, folder: Path) -> Path:
    return make("open265.mp4", times(), codec="libx265", options=OPEN_265, tick=Fraction(1, 10240))


NO_EDITS = {"use_editlist": "0"}
ODD: dict[str, Make] = {
    "plain": plain,
    "open groups": opened,
    "open groups, HEVC": opened_265,
    "cut at an open group": lambda m, d: copied(opened(m, d), d / "cut.mkv", from_key(d / "open.mp4")),
    "cut at an open group, HEVC": lambda m, d: copied(opened_265(m, d), d / "cut.mkv", from_key(d / "open265.mp4")),
    "the same in mp4": lambda m, d: copied(
        opened_265(m, d), d / "cut.mp4", from_key(d / "open265.mp4"), options=NO_EDITS),
    "without its first key frame": lambda m, d: copied(plain(m, d), d / "cut.mkv", lambda n: n >= 5),
    "without one packet": lambda m, d: copied(opened(m, d), d / "cut.mp4", lambda n: n != 33),
    "no edit list": lambda m, d: copied(plain(m, d), d / "late.mp4", options=NO_EDITS),
    "begins late": lambda m, d: copied(plain(m, d), d / "late.mp4", shift_s=1.5),
    "begins before 0": lambda m, d: copied(plain(m, d), d / "early.mp4", shift_s=-1.5, options={
        "avoid_negative_ts": "disabled"}),
    "fragments": lambda m, d: copied(plain(m, d), d / "frag.mp4", options={"movflags": "frag_keyframe+empty_moov"}),
    "negative offsets": lambda m, d: copied(plain(m, d), d / "neg.mp4", options={"movflags": "negative_cts_offsets"}),
    "edited: from the middle": lambda m, d: edited(plain(m, d), d / "edit.mp4", [(6000, 2 * 10240)]),
    "edited: between two frames": lambda m, d: edited(plain(m, d), d / "edit.mp4", [(6000, 2048 + 1000)]),
    "edited: a pause first": lambda m, d: edited(plain(m, d), d / "edit.mp4", [(1000, -1), (6000, 2048)]),
    "edited: two stretches": lambda m, d: edited(plain(m, d), d / "edit.mp4", [(2000, 22528), (2000, 12288)]),
    "edited: a hole": lambda m, d: edited(plain(m, d), d / "edit.mp4", [(2000, 2048), (500, -1), (3000, 53248)]),
    "intra refresh": lambda m, d: m("ir.mp4", times(), options={"g": "250", "bf": "0", "intra-refresh": "1"}),
    "interlaced": lambda m, d: m("il.mp4", times(), options={"g": "20", "x264-params": "tff=1"}),
    "VP9 with hidden frames": lambda m, d: m("a.webm", times(), codec="libvpx-vp9", options={
        "g": "20", "auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime"}),
    "AVI with B-frames": lambda m, d: m(
        "a.avi", times(), options={"g": "20", "bf": "3"}, tick=Fraction(1, RATE)),
    "a gap": lambda m, d: m("gap.mp4", [*times(40), *(t + 6 for t in times(40))], options={"g": "20", "bf": "3"}),
}


def bare(path: Path) -> list[float]:
    """The times of a bare decoder's frames, by FFmpeg's best-effort stamps. Where a stamp goes back, as at the end of
    an AVI with B-frames, ours is the time before it: what is shown cannot be shown earlier."""
    best = BestEffort()
    with av.open(str(path)) as container:
        stamps = [(best(p.pts, p.dts), p.time_base) for p in container.decode(video=0)]
    return list(np.maximum.accumulate([float(stamp * tick) for stamp, tick in stamps]))


def told(path: Path, **options: Any) -> tuple[list[tuple[int, float, str]], int, int]:
    """Index, time and pixels of each frame; decoded; corrupt."""
    with read(path, **options) as source:
        frames = [(f.index, round(f.time, 6), md5(f.image, usedforsecurity=False).hexdigest()) for f in source]
    return frames, source.counts.decoded, source.counts.corrupt


@pytest.mark.parametrize("kind", ODD)
def test_counts_and_times_are_a_bare_decoders(make_video: MakeVideo, tmp_path: Path, kind: str) -> None:
    path = ODD[kind](make_video, tmp_path)
    frames, decoded, corrupt = told(path)
    assert [index for index, _, _ in frames] == list(range(decoded))
    assert corrupt == 0
    assert [time for _, time, _ in frames] == pytest.approx(bare(path), abs=1e-6)


@pytest.mark.parametrize("kind", ODD)
def test_from_any_start_the_same_frames_have_the_same_indices(
    make_video: MakeVideo, tmp_path: Path, kind: str
) -> None:
    path = ODD[kind](make_video, tmp_path)
    frames, decoded, _ = told(path)
    for start in np.arange(0.05, frames[-1][1], 0.93).tolist():
        part, decoded_too, _ = told(path, start=start)
        assert part == [one for one in frames if one[1] >= start - 1e-6], start
        assert decoded_too == decoded, start


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
@pytest.mark.parametrize("kind", ODD)
def test_counts_and_times_are_ffmpegs(make_video: MakeVideo, tmp_path: Path, kind: str) -> None:
    path = ODD[kind](make_video, tmp_path)
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
         "frame=best_effort_timestamp_time", "-of", "json", str(path)],
        capture_output=True, check=True,
    )                                                                               # fmt: skip
    stamps = [float(one.get("best_effort_timestamp_time", "nan")) for one in json.loads(done.stdout)["frames"]]
    ours = [time for _, time, _ in told(path)[0]]
    known = ~np.isnan(stamps)                        # the last two of an AVI with B-frames have none there, but in time
    assert len(ours) == len(stamps)
    assert known.sum() >= COUNT - 2 or kind != "AVI with B-frames"
    # of such an AVI FFmpeg 5 takes the decoding stamps from the first frame on, later ones and PyAV after two frames
    first = 2 if kind == "AVI with B-frames" else 0
    assert np.array(ours)[known][first:] == pytest.approx(np.array(stamps)[known][first:], abs=1e-5)


def test_a_damaged_packet_before_a_start_is_noted(make_video: MakeVideo, tmp_path: Path) -> None:
    """Frames before a start are counted by their packets: whether they are whole, nobody looked."""
    source = make_video("whole.mp4", times(100), options={"g": "10", "bf": "0"})
    with av.open(str(source)) as container:
        packet = [p for p in container.demux(video=0) if p.size][40]
        at, size = packet.pos, packet.size
    data = bytearray(source.read_bytes())
    data[at : at + size] = bytes(size)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    whole = {number(f.image): f.index for f in read(path)}
    with read(path, start=8.05) as late:
        frames = {number(f.image): f.index for f in late}
    assert frames.keys() <= whole.keys()
    if any(whole[n] != index for n, index in frames.items()):
        assert any("were counted by their packets" in note for note in late.notes)
