"""MCAP out and in: what is read back is what was written, strictly valid, and whole up to where it was cut."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.records import Chunk, Message
from mcap.stream_reader import StreamReader
from mcap.writer import Writer
from robot_made import BEGAN, frames, plan_of_square, square_at

from vision import Bag, JsonLines, Mcap, Publish, Run, SinkSpec, VideoFile, read
from vision.errors import MissingExtra, SinkError, SourceError, UsageError
from vision.io.base import Log
from vision.io.mcap_file import MAX_CHUNK, McapFile, unpacked
from vision.io.recording import records
from vision.messages import foxglove
from vision.messages.annexb import unit_types
from vision.messages.foxglove import message_type

COUNT = 150                                      # frames: three key frames
SPS, IDR, SLICE = 7, 5, 1


def strictly(path: Path) -> list[Any]:
    """Every record of a file, by the library's reader, its checksums and its index checked."""
    with path.open("rb") as file:
        found = list(StreamReader(file, validate_crcs=True).records)
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_summary() is not None
        assert sum(1 for _ in reader.iter_messages()) == sum(type(one) is Message for one in found)
    return found


def messages(path: Path, topic: str) -> list[Any]:
    """The messages of a topic, with their times."""
    with path.open("rb") as file:
        return [message for _, _, message in make_reader(file).iter_messages(topics=[topic])]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of stamped frames."""
    folder = tmp_path_factory.mktemp("mcap")
    with Run(frames(COUNT), plan_of_square(), [Mcap(folder / "run.mcap"), JsonLines(folder / "run.jsonl")]) as run:
        run.finish()
    return folder / "run.mcap"


def test_a_run_of_one_frame_has_its_picture(tmp_path: Path) -> None:
    with Run(frames(1), plan_of_square(), [Mcap(tmp_path / "one.mcap")]) as run:
        run.finish()
    strictly(tmp_path / "one.mcap")
    with read(tmp_path / "one.mcap") as source:
        assert len(list(source)) == 1


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link.mcap").symlink_to(tmp_path / "far/real.mcap")
    with Run(frames(2), plan_of_square(), [Mcap(tmp_path / "link.mcap")]) as run:
        run.finish()
    assert (tmp_path / "link.mcap").is_symlink()
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["real.mcap"]
    strictly(tmp_path / "far/real.mcap")


def test_annotations_lie_where_the_film_shows_the_picture(tmp_path: Path) -> None:
    first, second = frames(2)
    tall = replace(second, image=second.image[:, :60].copy())       # 60x120 into 160x120
    with Run([first, tall], plan_of_square()[:1], [Mcap(tmp_path / "two.mcap")]) as run:
        found = [item["detect"].boxes[0] for item in run]
    kind = message_type("foxglove.ImageAnnotations")
    told = messages(tmp_path / "two.mcap", "/vision/annotations")
    boxes = [kind.FromString(one.data).points[0].points for one in told]
    assert [value for one in boxes for value in (one[0].x, one[0].y)] == pytest.approx(
        [found[0][0], found[0][1], found[1][0] + 50, found[1][1]], abs=0.02)
    with read(tmp_path / "two.mcap") as source:
        *_, last = source
    inside = last.image[round(boxes[1][0].y) + 3, round(boxes[1][0].x) + 3]
    assert inside[0] > 150                                           # the square itself


@pytest.mark.parametrize("key", ["video", "records", "annotations"])
def test_a_step_whose_topic_is_another_s_is_refused(key: str, tmp_path: Path) -> None:
    (detect, _) = plan_of_square()
    with pytest.raises(UsageError, match="is a topic of its own"):
        Run(frames(2), [replace(detect, key=key)], [Mcap(tmp_path / "a.mcap")])
    if key == "records":
        with pytest.raises(UsageError, match="is a topic of its own"):
            Run(frames(2), [replace(detect, key=key)], [Bag(tmp_path / "bag")])


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_records_and_stamps_are_read_back_as_they_were(whole: Path) -> None:
    wanted = lines(whole.with_suffix(".jsonl"))
    assert list(records(whole)) == wanted
    assert len(wanted) == COUNT
    with read(whole) as source:
        assert [(f.index, f.stamp_ns) for f in source] == [(r["frame"], r["stamp_ns"]) for r in wanted]
        assert source.notes == []
        assert source.counts.decoded == COUNT
        assert source.counts.corrupt == 0


def test_every_message_has_the_stamp_of_its_frame(whole: Path) -> None:
    stamps = [frame.stamp_ns for frame in frames(COUNT)]
    for topic in ("video", "annotations", "records", "detect", "track"):
        assert [m.log_time for m in messages(whole, f"/vision/{topic}")] == stamps, topic
    made = [message_type("foxglove.CompressedVideo").FromString(m.data) for m in messages(whole, "/vision/video")]
    assert [m.timestamp.seconds * 10**9 + m.timestamp.nanos for m in made] == stamps
    assert {(m.format, m.frame_id) for m in made} == {("h264", "camera")}


def test_the_pictures_are_those_of_the_frames(whole: Path) -> None:
    with read(whole) as source:
        for frame in source:
            left = np.flatnonzero(frame.image[60, :, 0] > 110)[0]
            assert abs(left - square_at(frame.index)) <= 1, frame.index


def test_a_strict_reader_finds_no_fault(whole: Path) -> None:
    assert sum(type(one) is Message for one in strictly(whole)) == 5 * COUNT


def test_h264_is_one_picture_a_message_with_sps_before_each_idr(whole: Path) -> None:
    units = [list(unit_types(message_type("foxglove.CompressedVideo").FromString(m.data).data))
             for m in messages(whole, "/vision/video")]
    keys = [n for n, kinds in enumerate(units) if IDR in kinds]
    assert keys[0] == 0
    assert max(b - a for a, b in pairwise([*keys, COUNT])) <= 60
    for kinds in units:
        assert len({kind for kind in kinds if kind in (IDR, SLICE)}) == 1, "no IDR and other slices in one message"
        if IDR in kinds:
            assert kinds.index(SPS) < kinds.index(IDR)


def test_there_are_no_b_frames(whole: Path) -> None:
    """Each packet gives its picture at once, and in order: nothing is reordered."""
    import av

    context = av.CodecContext.create("h264", "r")
    context.thread_count = 1
    for message in messages(whole, "/vision/video"):
        packet = av.Packet(message_type("foxglove.CompressedVideo").FromString(message.data).data)
        (picture,) = context.decode(packet)
        assert picture.pict_type in (1, 2), "I or P"


def test_annotations_are_the_boxes_in_pixels(whole: Path) -> None:
    tracks = [json.loads(m.data)["objects"] for m in messages(whole, "/vision/track")]
    kind = message_type("foxglove.ImageAnnotations")
    drawn = [kind.FromString(m.data) for m in messages(whole, "/vision/annotations")]
    assert any(tracks)
    for objects, one in zip(tracks, drawn, strict=True):
        boxes = [[(p.x, p.y) for p in points.points] for points in one.points]
        assert boxes == [[(a, b), (c, b), (c, d), (a, d)] for a, b, c, d in (o["box"] for o in objects)]
        assert [text.text for text in one.texts] == [f"{o['id']} square {o['score']:.2f}" for o in objects]


def test_schemas_hold_for_the_messages(whole: Path) -> None:
    import jsonschema

    with whole.open("rb") as file:
        for topic in ("/vision/records", "/vision/detect", "/vision/track"):
            file.seek(0)
            for schema, _, message in islice(make_reader(file).iter_messages(topics=[topic]), 5, 8):
                assert schema is not None
                jsonschema.validate(json.loads(message.data), json.loads(schema.data))


@pytest.mark.parametrize("start", [0.5, 2.0, 2.1, 4.5])
def test_reading_from_the_middle_begins_at_a_key_frame(whole: Path, start: float) -> None:
    with read(whole) as source:
        every = {frame.index: frame for frame in source}
    with read(whole, start=start, end=start + 0.2) as source:
        found = list(source)
        counted = source.counts.decoded
    first = min(i for i, frame in every.items() if frame.time >= start)
    assert [frame.index for frame in found] == list(range(first, first + len(found)))
    assert len(found) in (6, 7)
    assert counted == found[-1].index + 2, "those before it counted, and the one that is too late"
    for frame in found:
        assert frame.stamp_ns == every[frame.index].stamp_ns
        assert np.array_equal(frame.image, every[frame.index].image)


@pytest.mark.parametrize("chunk", [2000, 1 << 30])
def test_a_frame_has_one_index_wherever_reading_begins(whole: Path, tmp_path: Path, chunk: int) -> None:
    """Of a film that begins between key frames, and of pictures of which one is broken."""
    picture = cv2.imencode(".png", frames(1)[0].image)[1].tobytes()
    with (tmp_path / "film.mcap").open("wb") as film, (tmp_path / "stills.mcap").open("wb") as stills:
        for file, name in ((film, "CompressedVideo"), (stills, "CompressedImage")):
            kind, out = message_type(f"foxglove.{name}"), Writer(file, chunk_size=chunk)
            out.start()
            about = out.register_schema(f"foxglove.{name}", "protobuf", foxglove.schema(f"foxglove.{name}"))
            camera = out.register_channel("/cam", "protobuf", about)
            for n, message in enumerate(messages(whole, "/vision/video")):
                data = message.data
                if name == "CompressedImage":
                    seconds, nanos = divmod(message.log_time, 10**9)
                    data = kind(timestamp={"seconds": seconds, "nanos": nanos}, format="png",
                                data=b"broken" if n == 40 else picture).SerializeToString()
                if n >= 35 or name == "CompressedImage":
                    out.add_message(camera, message.log_time, data, message.publish_time, n)
                if n == 100:
                    break
            out.finish()
    for path, count, corrupt in ((tmp_path / "film.mcap", 41, 25), (tmp_path / "stills.mcap", 100, 1)):
        with read(path) as source:
            every = {frame.stamp_ns: frame.index for frame in source}
            assert (len(every), source.counts.corrupt) == (count, corrupt)
        for start in (0.2, 0.6, 1.0, 1.9):
            with read(path, start=start) as source:
                found = {frame.stamp_ns: frame.index for frame in source}
            assert len(found) > 5
            assert found.items() <= every.items()
        with read(path, start=0.6, stride=3) as source:
            assert {frame.stamp_ns: frame.index for frame in source}.items() <= every.items()


def test_a_seek_reads_no_chunk_before_its_key_frame(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vision.io import mcap_file

    unpacked = []
    real = mcap_file.unpacked
    monkeypatch.setattr(mcap_file, "unpacked", lambda chunk: unpacked.append(chunk.message_start_time) or real(chunk))
    with read(whole, start=4.1, end=4.2) as source:
        opening = len(unpacked)
        assert [frame.index for frame in source] == [123, 124, 125]
    assert min(unpacked[opening + 1 :]) >= BEGAN + 3 * 10**9


@pytest.mark.parametrize("part", [0.3, 0.55, 0.8, 0.97])
def test_what_is_cut_off_is_read_to_its_last_whole_chunk(whole: Path, tmp_path: Path, part: float) -> None:
    data = whole.read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(data[: int(len(data) * part)])
    with whole.open("rb") as file:
        chunks = make_reader(file).get_summary().chunk_indexes
    inside = [c for c in chunks if c.chunk_start_offset + c.chunk_length <= len(data) * part]
    last = max(c.message_end_time for c in inside)
    wanted = [r for r in lines(whole.with_suffix(".jsonl")) if r["stamp_ns"] <= last]
    assert list(records(cut)) == wanted
    with read(cut) as source:
        stamps = [frame.stamp_ns for frame in source]
        assert any("cut off" in note for note in source.notes)
    assert stamps == [r["stamp_ns"] for r in wanted][: len(stamps)]
    assert len(wanted) - len(stamps) <= 4, "pictures that the encoder still had"


def test_a_film_keeps_its_times_and_has_no_stamps(tmp_path: Path, plan: list[Any]) -> None:
    made = [frame for frame in frames(20, clock=False) if frame.index % 3]
    with Run(made, plan, [VideoFile(tmp_path / "a.mcap")]) as run:
        run.finish()
    with read(tmp_path / "a.mcap") as source:
        found = list(source)
    assert [round(f.time, 6) for f in found] == [round(f.time, 6) for f in made]
    assert {f.stamp_ns for f in found} == {None}


def test_stamps_that_jump_are_kept(tmp_path: Path, plan: list[Any]) -> None:
    stamps = [BEGAN + i * 10**8 for i in range(10)]
    stamps[5:] = [s - 3_600 * 10**9 for s in stamps[5:]]             # a clock that was set
    with Run(frames(10, stamps=stamps), plan, [Mcap(tmp_path / "a.mcap")]) as run:
        run.finish()
    with read(tmp_path / "a.mcap") as source:
        found = list(source)
        assert any("go back" in note for note in source.notes)
    assert [f.stamp_ns for f in found] == stamps
    assert all(b.time >= a.time for a, b in pairwise(found))
    strictly(tmp_path / "a.mcap")


def test_what_the_pictures_are(tmp_path: Path, plan: list[Any]) -> None:
    sinks: list[SinkSpec] = [Mcap(tmp_path / "n.mcap", pictures="none"), Mcap(tmp_path / "d.mcap", pictures="drawn")]
    with Run(frames(3), plan, sinks) as run:
        run.finish()
    with pytest.raises(SourceError, match=r"has no topic with pictures. Its topics: .*records"):
        read(tmp_path / "n.mcap")
    assert len(list(records(tmp_path / "n.mcap"))) == 3
    with read(tmp_path / "d.mcap") as source:
        drawn = next(source).image
    assert np.abs(drawn.astype(int) - frames(1)[0].image).max() > 100, "a box in another colour"


def test_what_a_kill_leaves_can_be_read(tmp_path: Path, plan: list[Any]) -> None:
    run = Run(frames(100), plan, [Mcap(tmp_path / "a.mcap")])
    items = iter(run)
    for _ in range(90):
        next(items)
    part = tmp_path / "a.part.mcap"
    copy = tmp_path / "killed.mcap"
    for _ in range(100):                                             # the writer is a thread
        copy.write_bytes(part.read_bytes())
        if len(list(records(copy))) >= 50:
            break
    found = [r["frame"] for r in records(copy)]
    assert found == list(range(len(found)))
    assert len(found) >= 50
    run.close()


def test_it_is_refused(tmp_path: Path, plan: list[Any]) -> None:
    with pytest.raises(UsageError, match=r"not taken up again.*without --resume"):
        Run(frames(3), plan, [Mcap(tmp_path / "a.mcap")], resume=True)
    with pytest.raises(UsageError, match="not taken up again"):
        Run(frames(3), plan, [VideoFile(tmp_path / "a.mcap")], resume=True)
    with pytest.raises(UsageError, match=r"suffix .mcap; got"):
        Run(frames(3), plan, [Mcap(tmp_path / "a.mp4")])
    with pytest.raises(SinkError, match="cannot be written"):
        Run(frames(3), plan, [Mcap(tmp_path / "no" / "a.mcap")]).finish()


@pytest.mark.parametrize(("package", "asked"), [
    ("mcap", lambda folder: Mcap(folder / "a.mcap").check()), ("mcap", lambda folder: read(folder / "b.mcap")),
    ("rosbags", lambda folder: Bag(folder / "b").check()), ("zenoh", lambda folder: Publish("zenoh://a").check()),
    ("zenoh", lambda folder: read("zenoh://a/b")),
])
def test_a_missing_package_is_named_with_its_extra(
    package: str, asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.mcap").write_bytes(b"\x89MCAP0\r\n")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package}.*pip install '.*\[robot\]'"):
        asked(tmp_path)


def test_topics_are_listed_where_the_wanted_one_is_not_there(whole: Path) -> None:
    with pytest.raises(SourceError, match=r"no topic '/camera'. Topics .*: '/vision/video'; others: .*records"):
        read(whole, topic="/camera")
    with pytest.raises(SourceError, match=r"holds vision.Record as json, which is no picture"):
        read(whole, topic="/vision/records")
    with pytest.raises(SourceError, match="has no topics"):
        read(whole.with_suffix(".jsonl"), topic="/camera")


def test_what_is_no_mcap_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    for data in (b"no", b"\x89MCAP0\r\n", b"\x89MCAP0\r\n" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(SourceError):
            read(path)


def chunk(data: bytes, size: int, packing: str) -> Any:
    return Chunk(packing, data, 0, 0, 0, size)


def test_a_chunk_that_grows_is_refused() -> None:
    """Packed a thousandfold: whatever it claims, no more than that is unpacked."""
    import lz4.frame
    import zstandard

    zeros = bytes(64 << 20)
    for packing, packed in (("zstd", zstandard.compress(zeros)), ("lz4", lz4.frame.compress(zeros))):
        assert len(packed) < len(zeros) / 200
        assert unpacked(chunk(packed, len(zeros), packing)) == zeros
        with pytest.raises(ValueError, match=r"100 are allowed") if packing == "zstd" else nullcontext():
            assert len(unpacked(chunk(packed, 100, packing))) == 100
        with pytest.raises(ValueError, match=f"{MAX_CHUNK} are allowed"):
            unpacked(chunk(packed, MAX_CHUNK + 1, packing))
    with pytest.raises(ValueError, match="packed by 'brotli'"):
        unpacked(chunk(b"", 0, "brotli"))


def test_a_damaged_chunk_ends_the_reading_with_a_note(whole: Path, tmp_path: Path) -> None:
    with whole.open("rb") as file:
        third = make_reader(file).get_summary().chunk_indexes[2]
    data = bytearray(whole.read_bytes())
    data[third.chunk_start_offset + third.chunk_length - 40] ^= 0xFF
    (tmp_path / "a.mcap").write_bytes(data)
    with read(tmp_path / "a.mcap") as source:
        stamps = [frame.stamp_ns for frame in source]
        assert any("is broken" in note for note in source.notes)
    assert stamps == [frame.stamp_ns for frame in frames(COUNT)][: len(stamps)]
    assert 20 <= len(stamps) < COUNT - 30


@pytest.mark.realdata
def test_foxgloves_conformance_files(data: Path) -> None:
    """Each record that their JSON lists, in ours: messages, channels and schemas."""
    for told in sorted((data / "mcap").glob("*.json")):
        wanted = [one for one in json.loads(told.read_text())["records"] if one["type"] == "Message"]
        file = McapFile(told.stem, told.with_suffix(".mcap"))
        topics = file.topics
        found = [message for topic in topics for message in file.messages(topic, Log())]
        assert len(found) == len(wanted), told.stem
        for message, one in zip(found, wanted, strict=True):
            fields = dict(one["fields"])
            assert message.log_ns == int(fields["log_time"])
            assert list(message.data) == [int(byte) for byte in fields["data"]]
        file.close()


@pytest.mark.realdata
@pytest.mark.parametrize("packing", ["zstd", "lz4"])
def test_packed_chunks(data: Path, packing: str) -> None:
    file = McapFile(packing, data / "mcap" / f"compressed_{packing}.mcap")
    counts = {topic.name: len(list(file.messages(topic, Log()))) for topic in file.topics}
    assert counts == {"/a": 100, "/b": 100}
    file.close()


@pytest.mark.realdata
def test_a_recording_that_was_cut_off(data: Path) -> None:
    log = Log()
    file = McapFile("t", data / "mcap" / "truncated.mcap")
    assert sum(len(list(file.messages(topic, log))) for topic in file.topics) == 10
    assert log.notes == ["'t' is cut off: it was read to its last whole chunk"]
    file.close()


def test_a_recording_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.mcap", tmp_path):
        with pytest.raises(SourceError, match="neither an MCAP file nor a ROS 2 bag"):
            next(records(path))


@pytest.mark.parametrize("make", [Mcap, Bag])
def test_a_name_that_is_no_utf_8_is_kept(make: Any, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    with Run([replace(one, source=name) for one in frames(2)], plan_of_square(), [make(tmp_path / "run.mcap")]) as run:
        run.finish()
    assert [one["source"] for one in records(tmp_path / "run.mcap")] == [name, name]


def test_on_windows_an_open_file_is_let_go_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still_open = []
    monkeypatch.setattr(sys, "platform", "win32")
    sink = Mcap(tmp_path / "run.mcap").open(plan_of_square())
    move = Path.replace

    def moved(path: Path, target: Path) -> Path:
        still_open.append(sink._file is not None)
        return move(path, target)

    monkeypatch.setattr(Path, "replace", moved)
    with Run(frames(2), plan_of_square(), [sink]) as run:
        run.finish()
    assert still_open == [False]
