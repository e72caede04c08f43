"""`vision clip`: pieces of a video around events, copied where packets can be cut."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from vision.cli import app
from vision.errors import DataError, SinkError, SourceError
from vision.io import read
from vision.sinks.cut import cut

RATE = 10


def film(path: Path, seconds: int = 20, key_every: int = 20, sound: str | None = "aac", frames_b: int = 2) -> Path:
    """A video whose every picture is as bright as its time, with a key frame now and then."""
    with av.open(str(path), "w") as out:
        options = {"g": str(key_every), "bf": str(frames_b), "sc_threshold": "0"}
        stream: Any = out.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        track: Any = out.add_stream(sound, rate=48_000, layout="mono") if sound else None
        heard = 0
        for i in range(seconds * RATE):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 + i, np.uint8), "bgr24")
            picture.pts, picture.time_base = i, Fraction(1, RATE)
            out.mux(stream.encode(picture))
            while track and heard < (i + 1) * 48_000 / RATE:
                wave = np.sin(np.arange(heard, heard + 1024) / 20).astype(np.float32)[None]
                piece = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
                piece.sample_rate, piece.pts, piece.time_base = 48_000, heard, Fraction(1, 48_000)
                out.mux(track.encode(piece))
                heard += 1024
        out.mux(stream.encode())
        if track:
            out.mux(track.encode())
    return path


def shown(path: Path) -> list[int]:
    """How bright the pictures are."""
    return [round(float(frame.image.mean())) for frame in read(path)]


def packets_of(path: Path) -> set[bytes]:
    with av.open(str(path)) as container:
        return {bytes(packet) for packet in container.demux(video=0) if packet.size}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_piece_is_the_sources_packets_from_the_key_frame_before(tmp_path: Path, suffix: str) -> None:
    source = film(tmp_path / f"film{suffix}")
    with read(source) as frames:
        first = next(iter(frames)).time                              # of a transport stream not 0
    piece = cut(source, first + 5.0, first + 9.0, tmp_path / "piece")
    assert piece.copied
    assert piece.begins == pytest.approx(first + 4.0)
    seen = shown(piece.path)
    assert seen[:40] == shown(source)[40:80]
    assert 48 <= len(seen) <= 54                                     # the end may be a few pictures later
    with read(piece.path) as frames:
        assert frames.info.audio == "aac"
        times = [frame.time for frame in frames]
    assert np.subtract(times[:3], 0.0 if suffix != ".ts" else times[0]) == pytest.approx([0.0, 0.1, 0.2], abs=0.002)
    if suffix != ".ts":                                              # in which packets have start codes
        assert packets_of(piece.path) <= packets_of(source)
    own = ".ts" if suffix == ".ts" else ".mp4"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, f"piece{own}"])


def test_the_sound_is_as_long_as_the_pictures(tmp_path: Path) -> None:
    piece = cut(film(tmp_path / "film.mp4"), 6.0, 9.0, tmp_path / "piece")
    with av.open(str(piece.path)) as container:
        lengths = [float(stream.duration * stream.time_base) for stream in container.streams]
    assert lengths == pytest.approx([3.1, 3.1], abs=0.35)


def test_without_a_key_frame_near_pictures_are_encoded_anew_from_the_start_on(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", key_every=500)
    piece = cut(source, 7.0, 9.0, tmp_path / "piece", earlier=3.0)
    assert (piece.copied, piece.begins) == (False, pytest.approx(7.0))
    assert np.abs(np.subtract(shown(piece.path), shown(source)[70:90])).max() <= 2
    with pytest.raises(SourceError, match="no picture from 70"):
        cut(source, 70.0, 71.0, tmp_path / "none")


def test_an_avi_with_b_frames_is_encoded_anew(tmp_path: Path) -> None:
    piece = cut(film(tmp_path / "film.avi", sound=None), 5.0, 6.0, tmp_path / "piece")
    assert not piece.copied
    assert len(shown(piece.path)) == 10


EVENTS = [
    {"schema": 2, "kind": "event", "source": "{source}", "time_s": 5.0, "event": "cross", "place": "the ../door",
     "side": "in", "label": "person"},
    {"kind": "event", "source": "{source}", "time_s": 0.5, "event": "enter", "place": "room", "side": "in"},
    {"source": "{source}", "label": "Punch", "start_s": 8.0, "end_s": 9.5},
    {"source": "other.mp4", "label": "Punch", "start_s": 8.0, "end_s": 9.5},
]


def events(tmp_path: Path, source: Path, rows: list[dict[str, Any]]) -> str:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps({**row, "source": row["source"].format(source=source)}) + "\n" for row in rows))
    return str(path)


def test_a_clip_for_each_event_named_by_time_and_event(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4")
    out = tmp_path / "out"
    done = CliRunner().invoke(app, [
        "clip", str(source), "--from", events(tmp_path, source, EVENTS), "--around", "1", "-o", str(out)])
    assert done.exit_code == 0, done.output
    names = [
        "film-0m00.5s-enter-room-in.mp4", "film-0m05.0s-cross-the-..-door-in-person.mp4", "film-0m08.0s-Punch.mp4",
    ]                                                                               # fmt: skip
    assert sorted(path.name for path in out.iterdir()) == names
    assert "film-0m08.0s-Punch.mp4 (begins 1.00 s earlier, at a key frame)" in done.stdout
    assert shown(out / names[1])[0] == shown(source)[40]
    assert 34 <= len(shown(out / names[2])) <= 48                    # 6.0 to 10.5 s


def test_a_table_of_events_serves_as_well(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4")
    table = tmp_path / "events.csv"
    table.write_text("source,frame,time_s,event,place,side\nelsewhere/film.mp4,50,5.0,cross,door,in\n")
    done = CliRunner().invoke(app, ["clip", str(source), "--from", str(table), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["film-0m05.0s-cross-door-in.mp4"]


@pytest.mark.parametrize(("text", "says"), [
    ("", "has no event"), ('{"kind": "frame"}\n', "has no event"), ("not json\n", "entry 1 is neither"),
    ('{"event": "cross", "time_s": "soon"}\n', "entry 1 is neither"), ("[" * 100_000, "entry 1 is neither"),
    ('{"event": "cross", "time_s": 1e999}\n', "entry 1 is neither"), ("7\n", "entry 1 is neither"),
    ('{"event": "cross", "time_s": 1, "source": "other.mp4"}\n', r"nothing of .* It is of: other\.mp4"),
])
def test_a_file_that_holds_no_events_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "events.jsonl").write_text(text)
    done = CliRunner().invoke(app, ["clip", "film.mp4", "--from", str(tmp_path / "events.jsonl")])
    assert isinstance(done.exception, DataError)
    assert "\n" not in str(done.exception)
    with pytest.raises(DataError, match=says):
        raise done.exception


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot be written"):
        cut(film(tmp_path / "film.mp4", 4), 1.0, 2.0, tmp_path / "nowhere" / "piece")


def test_an_event_outside_of_the_film_takes_no_clip_from_the_others(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4")
    rows = [{**EVENTS[0], "time_s": 100.0}, EVENTS[0]]
    given = ["clip", str(source), "--from", events(tmp_path, source, rows), "--around", "0.2"]
    done = CliRunner().invoke(app, [*given, "-o", str(tmp_path / "out")])
    assert isinstance(done.exception, SourceError)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["film-0m05.0s-cross-the-..-door-in-person.mp4"]


@pytest.mark.parametrize("key_every", [20, 1000])                    # copied, and encoded anew
def test_a_clip_of_the_moment_alone_has_its_picture(tmp_path: Path, key_every: int) -> None:
    source = film(tmp_path / "film.mp4", 10, key_every)
    rows = [{**EVENTS[0], "time_s": 5.0}, {**EVENTS[0], "time_s": 8.0}]
    given = ["clip", str(source), "--from", events(tmp_path, source, rows), "--around", "0"]
    done = CliRunner().invoke(app, [*given, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    clips = sorted((tmp_path / "out").iterdir())
    assert [path.name[:12] for path in clips] == ["film-0m05.0s", "film-0m08.0s"]
    for path, at in zip(clips, (50, 80), strict=True):
        seen = shown(path)
        assert seen[0 if key_every == 1000 else at % 20] == pytest.approx(shown(source)[at], abs=3)
        assert len(seen) == 1 or key_every == 20
