"""ROS 2 bags: what a run writes is read by `rosbags` as it was meant, and pictures are read out of others' bags."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zstandard
from robot_made import BEGAN, HEIGHT, WIDTH, frames, square_at
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer

from vision import Bag, JsonLines, Run, Spec, Step, read
from vision.errors import SinkError, SourceError, UsageError
from vision.io import local_files
from vision.io.recording import records
from vision.io.unpacked import unpacked
from vision.messages import ros
from vision.spec import spec
from vision.steps import Ready

COUNT = 12
Put = Callable[[str, str, Any, int], None]


@dataclass(frozen=True)
class FreeSpace:
    """Metres that one may go in each direction, radians to the left."""

    angles: Any
    ranges: Any
    most: float = 40.0

    def to_dict(self, names: Any = None) -> dict[str, Any]:
        return {"ranges": [None if np.isinf(r) else float(r) for r in self.ranges]}


@dataclass(frozen=True)
class Road:
    """What holds free space beside other things, as `vision drive` gives it."""

    free: FreeSpace | None

    def to_dict(self, names: Any = None) -> dict[str, Any]:
        return {"objects": []}


@spec
class Drive(Spec):
    """Free space in every second frame, and without a calibration in the first."""

    task, result = "road", Road

    def open(self, info: Any, model: Any) -> Step:
        return DriveStep(self.key)


class DriveStep(Step):
    def begin(self, frame: Any, sofar: Any) -> Any:
        angles = np.linspace(-0.7, 0.7, 31, dtype=np.float32)
        metres = np.full(31, np.nan if frame.index == 0 else 5.0 + frame.index, np.float32)
        return Ready(Road(None if frame.index % 2 else FreeSpace(angles, metres)))


def test_free_space_beside_other_things(tmp_path: Path) -> None:
    with Run(frames(5), Drive(), [Bag(tmp_path / "b")]) as run:
        run.finish()
    with AnyReader([tmp_path / "b"]) as reader:
        assert {c.topic for c in reader.connections} == {"/vision/road/free", "/vision/records"}
        (space,) = [c for c in reader.connections if c.topic.endswith("free")]
        scans = [reader.deserialize(data, space.msgtype) for _, _, data in reader.messages([space])]
    assert [scan.ranges[0] for scan in scans] == [7.0, 9.0]
    assert [len(scan.ranges) for scan in scans] == [31, 31]
    assert np.allclose([scans[0].angle_min, scans[0].angle_increment], [-0.7, 1.4 / 30])


@spec
class LookAhead(Spec):
    """As far as the number of the frame."""

    task, result = "free", FreeSpace

    def open(self, info: Any, model: Any) -> Step:
        return LookStep(self.key)


class LookStep(Step):
    def begin(self, frame: Any, sofar: Any) -> Any:
        return Ready(FreeSpace([0.5, 0.0, -0.5], [frame.index + 1.0, 2.0, np.inf]))


@pytest.mark.parametrize(("storage", "layout"), [("sqlite3", "new"), ("mcap", "old")])
def test_a_bag_of_a_run(storage: Any, layout: Any, tmp_path: Path, plan: list[Spec]) -> None:
    bag = tmp_path / "bag"
    sinks = [Bag(bag, storage, layout, pictures="plain"), JsonLines(tmp_path / "r.jsonl")]
    with Run(frames(COUNT), [*plan, LookAhead()], sinks) as run:
        run.finish()
    wanted = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert list(records(bag)) == wanted
    stamps = [frame.stamp_ns for frame in frames(COUNT)]
    with AnyReader([bag]) as reader:
        kinds = {c.topic: c.msgtype for c in reader.connections}
        assert kinds == {
            "/vision/detect": "vision_msgs/msg/Detection2DArray", "/vision/track": "vision_msgs/msg/Detection2DArray",
            "/vision/free": "sensor_msgs/msg/LaserScan", "/vision/records": "std_msgs/msg/String",
            "/vision/image/compressed": "sensor_msgs/msg/CompressedImage",
        }
        for connection in reader.connections:
            found = list(reader.messages([connection]))
            assert [stamp for _, stamp, _ in found] == stamps, connection.topic
            made = [reader.deserialize(data, connection.msgtype) for _, _, data in found]
            if connection.topic != "/vision/records":
                assert [ros.stamp_of(one.header) for one in made] == stamps
            if connection.topic == "/vision/free":
                assert [list(one.ranges) for one in made] == [[np.inf, 2.0, i + 1.0] for i in range(COUNT)]
                assert {one.range_max for one in made} == {40.0}
            if connection.topic == "/vision/detect":
                for one, record in zip(made, wanted, strict=True):
                    (box,), (seen,) = record["detect"]["objects"], one.detections
                    centre = seen.bbox.center.position if layout == "new" else seen.bbox.center
                    assert (centre.x, seen.bbox.size_x) == ((box["box"][0] + box["box"][2]) / 2, 40.0)
    with read(bag) as source:
        found = [(f.index, f.stamp_ns, f.image) for f in source]
    assert [(i, stamp) for i, stamp, _ in found] == list(enumerate(stamps))
    for i, _, image in found:
        assert abs(int(np.flatnonzero(image[60, :, 0] > 110)[0]) - square_at(i)) <= 1


def bagged(folder: Path, storage: StoragePlugin = StoragePlugin.SQLITE3) -> Iterator[Put]:
    """A function that puts messages into a new bag: topic, type, message, time."""
    connections: dict[tuple[str, str], Any] = {}
    with Writer(folder, version=9, storage_plugin=storage) as writer:
        def put(topic: str, kind: str, message: Any, at: int) -> None:
            if (topic, kind) not in connections:
                connections[topic, kind] = writer.add_connection(topic, kind, typestore=ros.types())
            writer.write(connections[topic, kind], at, ros.types().serialize_cdr(message, kind))

        yield put


def image(index: int, encoding: str = "bgr8") -> Any:
    picture = frames(index + 1)[index].image
    head = ros.header(ros.types(), BEGAN + index * 10**8, "cam")
    return ros.types().types["sensor_msgs/msg/Image"](
        head, HEIGHT, WIDTH, encoding, 0, 3 * WIDTH, picture.ravel())


def text(value: str) -> Any:
    return ros.types().types["std_msgs/msg/String"](value)


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_raw_images_of_somebody_elses_bag(storage: StoragePlugin, tmp_path: Path) -> None:
    """The stamps are the headers', not those of when the bag wrote them down."""
    for put in bagged(tmp_path / "b", storage):
        for i in range(5):
            put("/camera/image_raw", "sensor_msgs/msg/Image", image(i), BEGAN + i * 10**8 + 3_000_000)
            put("/chatter", "std_msgs/msg/String", text("hello"), BEGAN + i * 10**8)
    for name in (tmp_path / "b", tmp_path / "b" / "metadata.yaml", next((tmp_path / "b").glob("b.*"))):
        with read(name) as source:
            assert source.info.size_wh == (WIDTH, HEIGHT)
            found = list(source)
        assert [f.stamp_ns for f in found] == [BEGAN + i * 10**8 for i in range(5)]
        assert [round(f.time, 9) for f in found] == [0.0, 0.1, 0.2, 0.3, 0.4]
        assert all(np.array_equal(f.image, frames(5)[f.index].image) for f in found)
    with read(tmp_path / "b", start=0.15, end=0.35) as source:
        assert [f.index for f in source] == [2, 3]
        assert (source.counts.decoded, source.counts.passed_over) == (5, 3)


def test_a_folder_with_a_bag_and_a_picture_is_two_streams(tmp_path: Path) -> None:
    for put in bagged(tmp_path / "all" / "b"):
        put("/cam", "sensor_msgs/msg/Image", image(0), BEGAN)
    cv2.imwrite(str(tmp_path / "all" / "a.png"), frames(1)[0].image)
    with read(tmp_path / "all") as source:
        assert [member.uri.rpartition("/")[2] for member in source.members] == ["all", "metadata.yaml"]
        assert len(list(source)) == 2


def test_a_bag_that_was_split(tmp_path: Path) -> None:
    """Two files, named with numbers: one source, in their natural order."""
    folder = tmp_path / "b"
    for part, first in ((9, 0), (10, 3)):
        for put in bagged(tmp_path / f"p{part}"):
            for i in range(first, first + 3):
                put("/cam", "sensor_msgs/msg/Image", image(i), BEGAN + i * 10**8)
        folder.mkdir(exist_ok=True)
        (tmp_path / f"p{part}" / f"p{part}.db3").rename(folder / f"b_{part}.db3")
    (tmp_path / "p9" / "metadata.yaml").rename(folder / "metadata.yaml")
    with read(folder) as source:
        assert [f.stamp_ns for f in source] == [BEGAN + i * 10**8 for i in range(6)]


def test_compressed_images_and_packed_messages(tmp_path: Path) -> None:
    """JPEG and PNG; and a message that rosbag2 packed by itself."""
    kind = ros.types().types["sensor_msgs/msg/CompressedImage"]
    for put in bagged(tmp_path / "b"):
        for i, suffix in enumerate((".png", ".jpg")):
            head = ros.header(ros.types(), BEGAN + i, "cam")
            data = cv2.imencode(suffix, frames(1)[0].image)[1].ravel()
            put("/cam/compressed", "sensor_msgs/msg/CompressedImage", kind(head, suffix[1:], data), BEGAN + i)
    base = sqlite3.connect(tmp_path / "b" / "b.db3")
    for number, data in base.execute("SELECT id, data FROM messages").fetchall():
        base.execute("UPDATE messages SET data = ? WHERE id = ?", (zstandard.compress(bytes(data)), number))
    base.commit()
    base.close()
    with read(tmp_path / "b") as source:
        png, jpeg = source
    assert np.array_equal(png.image, frames(1)[0].image)
    assert np.abs(jpeg.image.astype(int) - png.image).mean() < 3


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_files_that_were_packed_whole(storage: StoragePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `ros2 bag record --compression-mode file` leaves them; nothing stays behind."""
    folder, room = tmp_path / "b", tmp_path / "room"
    for put in bagged(folder, storage):
        for i in range(3):
            put("/cam", "sensor_msgs/msg/Image", image(i), BEGAN + i * 10**8)
    (whole,) = folder.glob("b.*")
    data = whole.read_bytes()
    packed = folder / f"{whole.name}.zstd"
    packed.write_bytes(zstandard.compress(data[:5000]) + zstandard.compress(data[5000:]))           # two frames
    whole.unlink()
    about = (folder / "metadata.yaml").read_text()
    (folder / "metadata.yaml").write_text(about.replace(whole.name, packed.name))
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    for name in (folder, packed):
        with read(name) as source:
            assert [f.stamp_ns for f in source] == [BEGAN + i * 10**8 for i in range(3)]
    whole.write_bytes(data)                              # as `zstd -d` leaves it: both are there
    with read(folder) as source:
        assert [f.index for f in source] == [0, 1, 2]
    (folder / "metadata.yaml").unlink()                  # and as a folder of recordings
    assert local_files(str(folder)) == [whole]
    (folder / "metadata.yaml").write_text(about.replace(whole.name, packed.name))
    whole.unlink()
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(SourceError), read(folder) as source:
        list(source)
    packed.write_bytes(b"no zstd at all")
    with pytest.raises(SourceError, match="cannot be unpacked"):
        read(folder)
    assert list(room.iterdir()) == []


def test_what_is_packed_has_a_bound(tmp_path: Path) -> None:
    """A file of 4 kB that would be 32 MiB."""
    bomb = tmp_path / "a.db3.zstd"
    bomb.write_bytes(zstandard.compress(bytes(32 << 20)))
    assert bomb.stat().st_size < 8000
    with pytest.raises(SourceError, match="more than 16 MiB when it is unpacked"), unpacked("a", bomb, 16 << 20):
        pass


def test_compressed_depth_is_refused_and_what_is_broken_counted(tmp_path: Path) -> None:
    kind = ros.types().types["sensor_msgs/msg/CompressedImage"]
    head = ros.header(ros.types(), BEGAN, "cam")
    png = cv2.imencode(".png", frames(1)[0].image)[1].ravel()
    for put in bagged(tmp_path / "b"):
        put("/depth", "sensor_msgs/msg/CompressedImage", kind(head, "16UC1; compressedDepth png", png), BEGAN)
        put("/cam", "sensor_msgs/msg/CompressedImage", kind(head, "png", png[:50]), BEGAN)
        put("/cam", "sensor_msgs/msg/CompressedImage", kind(head, "png", png), BEGAN + 1)
    with pytest.raises(SourceError, match="no picture of '/depth'"), read(tmp_path / "b", topic="/depth") as source:
        list(source)
    assert any("compressed depth" in note for note in source.notes)
    with read(tmp_path / "b", topic="/cam") as source:
        assert len(list(source)) == 1
        assert source.counts.corrupt == 1


def test_topics_that_are_not_there_or_are_no_pictures(tmp_path: Path) -> None:
    for put in bagged(tmp_path / "b"):
        put("/left", "sensor_msgs/msg/Image", image(0), BEGAN)
        put("/right", "sensor_msgs/msg/Image", image(0), BEGAN)
        put("/chatter", "std_msgs/msg/String", text("hello"), BEGAN)
    with pytest.raises(SourceError, match=r"has 2 topics with pictures. Give one as --topic .*'/left', '/right'"):
        read(tmp_path / "b")
    with pytest.raises(SourceError, match=r"no topic '/front'. Topics .*: '/left', '/right'; others: /chatter"):
        read(tmp_path / "b", topic="/front")
    with pytest.raises(SourceError, match=r"'/chatter' of .* holds std_msgs/msg/String as cdr, which is no picture"):
        read(tmp_path / "b", topic="/chatter")
    with read(tmp_path / "b", topic="/right") as source:
        assert len(list(source)) == 1


def test_two_publishers_of_one_name(tmp_path: Path) -> None:
    """The first one's pictures, and a note."""
    for put in bagged(tmp_path / "b"):
        put("/cam", "sensor_msgs/msg/Image", image(0), BEGAN)
    base = sqlite3.connect(tmp_path / "b" / "b.db3")
    base.execute("INSERT INTO topics SELECT 99, name, type, serialization_format, offered_qos_profiles, "
                 "type_description_hash FROM topics")
    base.execute("INSERT INTO messages SELECT 99, 99, timestamp + 1, data FROM messages")
    base.commit()
    base.close()
    with read(tmp_path / "b") as source:
        assert len(list(source)) == 1
        assert any("'/cam' has 2 publishers; the first one's" in note for note in source.notes)


def test_a_bag_that_was_cut_in_the_middle(tmp_path: Path) -> None:
    """Of SQLite: what lies before the cut, or one line. A bag without its metadata: its file is read by itself."""
    for put in bagged(tmp_path / "b"):
        for i in range(30):
            put("/cam", "sensor_msgs/msg/Image", image(i), BEGAN + i * 10**8)
    (tmp_path / "b" / "metadata.yaml").unlink()
    path = tmp_path / "b" / "b.db3"
    data = path.read_bytes()
    for part in (0.01, 0.5, 0.9):
        path.write_bytes(data[: int(len(data) * part)])
        if part == 0.01:
            with pytest.raises(SourceError, match=r"no message that can be read .*is broken"):
                read(path)
            continue
        with read(path) as source:
            found = [f.stamp_ns for f in source]
            assert any("broken" in note for note in source.notes)
        assert len(found) >= 25 * part
        assert found == [BEGAN + i * 10**8 for i in range(len(found))]


def test_a_journal_that_was_not_taken_over_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As a recording has it that was killed: what lies in the journal is not read, and nothing is written there."""
    for put in bagged(tmp_path / "b"):
        put("/cam", "sensor_msgs/msg/Image", image(0), BEGAN)
        put("/vision/records", "std_msgs/msg/String", text("{}"), BEGAN)
    file = next((tmp_path / "b").glob("*.db3"))
    base = sqlite3.connect(file)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA wal_autocheckpoint = 0")
    base.execute("INSERT INTO messages (topic_id, timestamp, data) SELECT topic_id, timestamp + 1, data FROM messages")
    base.commit()
    before = {path.name: path.stat().st_size for path in file.parent.iterdir()}
    for name in (file, tmp_path / "b"):
        with read(name) as source:
            assert len(list(source)) == 1
        assert [f"{file.name}-wal' beside it is not read" in note for note in source.notes] == [True]
    assert list(records(tmp_path / "b")) == [{}]
    assert "beside it is not read" in caplog.text
    assert {path.name: path.stat().st_size for path in file.parent.iterdir()} == before
    base.close()
    with read(file) as source:
        assert len(list(source)) == 2
    assert source.notes == []


def test_a_data_base_that_is_no_bag(tmp_path: Path) -> None:
    path = tmp_path / "a.db3"
    base = sqlite3.connect(path)
    base.execute("CREATE VIEW topics AS SELECT 1")
    base.execute("CREATE VIEW messages AS SELECT 1")
    base.commit()
    base.close()
    with pytest.raises(SourceError, match="no tables of topics and messages"):
        read(path)


def test_a_bag_is_refused(tmp_path: Path, plan: list[Spec]) -> None:
    with pytest.raises(SinkError, match="is there already, and a bag is a new folder"):
        Run(frames(1), plan, [Bag(tmp_path)])
    with pytest.raises(UsageError, match="not taken up again"):
        Run(frames(1), plan, [Bag(tmp_path / "b")], resume=True)


def test_a_run_without_a_frame_leaves_no_bag(tmp_path: Path, plan: list[Spec]) -> None:
    with Run([], plan, [Bag(tmp_path / "b")]) as run:
        run.finish()
    assert not (tmp_path / "b").exists()
