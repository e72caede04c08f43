"""Zenoh between two processes on this machine: nothing is late, who joins late has the last word, who is slow the
newest."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from robot_made import BEGAN, frames, plan_of_square, square_at

from vision import Frame, Publish, Run, Spec, read
from vision.errors import SinkError, SourceError, UsageError
from vision.io.zenoh_source import Records, Subscription
from vision.messages import ros
from vision.messages.wire import Address, Note, Sender

HERE = Path(__file__).parent
PUBLISHER = """
import sys, time
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1])))
from robot_made import frames, plan_of_square
from vision import Publish, Run

def paced():
    print("ready", flush=True)
    sys.stdin.readline()
    for frame in frames(int(sys.argv[3])):
        time.sleep(0.01)
        yield frame

with Run(paced(), plan_of_square(), [Publish(sys.argv[2], pictures="plain", quality=95)]) as run:
    for item in run:
        pass
    print("done", flush=True)
    sys.stdin.read()
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Published:
    """A run in another process, which publishes; `at`: the address to connect to."""

    def __init__(self, count: int) -> None:
        end = f"tcp/127.0.0.1:{free_port()}"
        self.at = f"zenoh://robot/vision?connect={end}"
        self.pictures = f"zenoh://robot/vision/picture?connect={end}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(HERE), f"zenoh://robot/vision?listen={end}", str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        assert self._said() == "ready"

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go(self) -> None:
        """Let the frames come."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def wait_done(self) -> None:
        assert self._said() == "done"

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0


@pytest.fixture
def published() -> Iterator[Published]:
    one = Published(150)
    yield one
    one.end()


@pytest.mark.slow
def test_records_come_within_ten_milliseconds() -> None:
    """95 of 100 of them, from when they were made in one process to when they are there in the other: on a machine that
    does other things besides, in one of three tries."""
    late = []
    for _ in range(3):
        published = Published(150)
        late.append(np.percentile(_took(published), 95))
        published.end()
        if late[-1] < 10:
            break
    assert min(late) < 10, f"{late} ms"


def test_every_record_comes_and_who_joins_late_has_the_last(published: Published) -> None:
    assert len(_took(published)) >= 139
    published.wait_done()
    with Records(published.at) as records:
        assert next(iter(records))["frame"] == 149


def _took(published: Published) -> list[float]:
    """Milliseconds that each record took, the first one left out; none is missed."""
    stamps = [frame.stamp_ns for frame in frames(150)]
    took: list[float] = []
    seen: list[int] = []
    with Records(published.at, newest=False) as records:
        published.go()
        for heard in Subscription.__iter__(records):
            took.append((time.time_ns() - heard.note.made_ns) / 1e6)
            record = json.loads(heard.data)
            assert record["kind"] == "frame"
            assert record["stamp_ns"] == stamps[record["frame"]]
            assert len(record["detect"]["objects"]) == 1
            seen.append(record["frame"])
            if record["frame"] == 149:
                break
    assert seen == list(range(seen[0], 150))
    assert seen[0] < 10, "the first ones may come before the publisher knows who listens"
    assert records.missed == 0
    return took[1:]


def test_who_is_slow_has_the_newest(published: Published) -> None:
    """And holds up nobody: the run is over in its own time."""
    seen: list[int] = []
    with Records(published.at) as records:
        published.go()
        for record in records:
            seen.append(record["frame"])
            if record["frame"] >= 140:
                break
            time.sleep(0.2)
    assert len(seen) < 40
    assert all(b > a for a, b in pairwise(seen))
    assert records.missed == seen[-1] - seen[0] + 1 - len(seen)
    published.wait_done()


def test_pictures_are_a_source(published: Published) -> None:
    with read(published.pictures, max_frames=10) as source:
        published.go()
        assert (source.info.kind, source.info.live) == ("stream", True)
        found = list(source)
    made = {frame.stamp_ns: frame.index for frame in frames(150)}
    for frame in found:
        left = int(np.flatnonzero(frame.image[60, :, 0] > 110)[0])
        assert frame.stamp_ns is not None
        assert abs(left - square_at(made[frame.stamp_ns])) <= 1
    assert all(b.time > a.time for a, b in pairwise(found))


def both_ends() -> tuple[Address, Address]:
    end = f"tcp/127.0.0.1:{free_port()}"
    return Address.parse(f"zenoh://a/b?listen={end}"), Address.parse(f"zenoh://a/b?connect={end}")


def test_messages_of_ros_are_pictures_too() -> None:
    listen, connect = both_ends()
    sender = Sender(listen)
    head = ros.header(ros.types(), BEGAN, "cam")
    image = frames(1)[0].image
    message = ros.types().types["sensor_msgs/msg/Image"](head, 120, 160, "bgr8", 0, 480, image.ravel())
    sender.put(ros.packed(message), "application/cdr")
    with read(f"zenoh://a/b?connect={connect.connect[0]}", max_frames=1) as source:
        (frame,) = source
    sender.close()
    assert frame.stamp_ns == BEGAN
    assert np.array_equal(frame.image, image)


def test_what_is_no_picture_is_counted() -> None:
    listen, connect = both_ends()
    sender = Sender(listen)
    sender.put(b"nothing", "text/plain")
    source = read(f"zenoh://a/b?connect={connect.connect[0]}")
    found: list[Frame] = []
    reading = threading.Thread(target=lambda: found.extend(source))
    reading.start()
    while not source.counts.corrupt:
        time.sleep(0.02)
    source.interrupt()
    reading.join(5)
    assert not reading.is_alive()
    assert found == []
    assert any("is no picture" in note for note in source.notes)
    sender.close()


@pytest.mark.parametrize(("reconnect", "count"), [(True, 1), (False, 0)])
def test_a_publisher_that_is_missing_is_waited_for_where_that_is_asked(
    reconnect: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two silences and a pause are its end."""
    monkeypatch.setattr("vision.io.live.PAUSES_S", (0.05,))
    monkeypatch.setattr("vision.io.zenoh_source.TIMEOUT_S", 0.2)
    listen, connect = both_ends()
    found: list[Frame] = []
    ended: list[str] = []

    def reading() -> None:
        try:
            found.extend(source)
        except SourceError as error:
            ended.append(str(error))

    with read(f"zenoh://a/b?connect={connect.connect[0]}", max_frames=1, reconnect=reconnect) as source:
        thread = threading.Thread(target=reading)
        thread.start()
        thread.join(2)
        sender = Sender(listen)
        sender.put(cv2.imencode(".png", frames(1)[0].image)[1].tobytes(), "image/png")
        thread.join(20)
    sender.close()
    assert (len(found), len(ended)) == (count, 1 - count)


def test_of_two_publishers_of_one_name_the_first_is_heard() -> None:
    """Until it has been silent for two seconds."""
    listen, connect = both_ends()
    with Subscription(listen, newest=False, patience=0.5) as heard:
        first, second = Sender(connect), Sender(connect)
        time.sleep(0.3)
        for i in range(5):
            first.put(f"first {i}".encode(), "text/plain")
            time.sleep(0.02)
            second.put(f"second {i}".encode(), "text/plain")
            time.sleep(0.02)
        assert [one.data for one in heard] == [f"first {i}".encode() for i in range(5)]
        assert heard.others == 5
        heard._last -= 2.0
        second.put(b"alone", "text/plain")
        assert next(iter(heard)).data == b"alone"
        first.close()
        second.close()


def test_a_publisher_that_is_started_again_goes_on_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As does one that begins its next source: with the pause between them."""
    monkeypatch.setattr("vision.io.zenoh_source._SILENT_S", 0.3)
    listen, connect = both_ends()
    data = cv2.imencode(".png", frames(1)[0].image)[1].tobytes()
    found: list[float] = []
    with read(f"zenoh://a/b?listen={listen.listen[0]}", max_frames=9) as source:
        reading = threading.Thread(target=lambda: found.extend(frame.time for frame in source))
        reading.start()
        for numbers in ((0, 1, 2, 0, 1), (0, 1, 2, 3)):  # the first one has two sources
            sender = Sender(connect)
            time.sleep(0.3)
            for n in numbers:
                sender.put(data, "image/png", time_s=n * 0.05)
                time.sleep(0.05)
            time.sleep(0.5)
            sender.close()
        reading.join(5)
    steps = np.diff(found)
    assert len(steps) == 8
    assert steps == pytest.approx([0.05, 0.05, steps[2], 0.05, steps[4], 0.05, 0.05, 0.05], abs=0.001)
    assert 0.04 < steps[2] < 0.5
    assert 0.8 < steps[4] < 2


def test_one_word_ends_a_loop_while_messages_come() -> None:
    listen, connect = both_ends()
    over, began = threading.Event(), threading.Event()
    with Records(f"zenoh://a/b?listen={listen.listen[0]}") as records:
        def talking() -> None:
            sender = Sender(connect)
            while not over.wait(0.01):
                sender.put(b"{}", "application/json")
            sender.close()

        def hearing() -> None:
            for _ in records:
                began.set()
                time.sleep(0.05)                         # as whoever does something with each

        threads = [threading.Thread(target=work) for work in (talking, hearing)]
        for thread in threads:
            thread.start()
        assert began.wait(5)
        records.interrupt()
        threads[1].join(1)
        assert not threads[1].is_alive()
        over.set()
        threads[0].join()


@pytest.mark.parametrize("text", [
    "zenoh://", "zenoh:///", "http://a/b", "zenoh://a/*", "zenoh://a/b?port=1", "zenoh://a/b?mode=router", "zenoh://a//b",
    "zenoh://a/b#c", "zenoh://[x",
])
def test_addresses_that_are_none(text: str, plan: list[Spec]) -> None:
    with pytest.raises(UsageError):
        Address.parse(text)
    with pytest.raises(UsageError):
        Run(frames(1), plan, [Publish(text)])


def test_an_address_in_its_parts() -> None:
    assert Address.parse("zenoh://robot/vision/x") == Address("robot/vision/x")
    whole = Address.parse("zenoh://r?connect=tcp/a:1,tcp/b:2&listen=udp/0.0.0.0:3&mode=client")
    assert whole == Address("r", ("tcp/a:1", "tcp/b:2"), ("udp/0.0.0.0:3",), "client")


def test_an_endpoint_that_cannot_be(plan: list[Spec]) -> None:
    with pytest.raises(SourceError, match="Zenoh cannot begin"):
        read("zenoh://a/b?listen=nonsense")
    with pytest.raises(SinkError, match="Zenoh cannot begin"):
        Run(frames(1), plan, [Publish("zenoh://a/b?listen=nonsense")]).finish()
    with pytest.raises(UsageError, match="what was published is gone"):
        Run(frames(1), plan, [Publish("zenoh://a/b")], resume=True)


@pytest.mark.parametrize("data", [None, b"", b"{}", b"[]", b"\xff", b'{"sender": 1, "number": "x", "made_ns": 1}',
                                  b'{"sender": "", "number": 1e999, "made_ns": 1}', b"[" * 100_000])
def test_what_is_written_on_a_message_by_nobody(data: bytes | None) -> None:
    assert Note.decode(data).number == -1


def test_what_is_written_on_a_message() -> None:
    for note in (Note("me", 3, 5), Note("me", 0, 5, 1.25, BEGAN)):
        assert Note.decode(note.encode()) == note


def test_a_name_that_is_no_utf_8_is_sent_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    class Kept:
        def __init__(self, *_: object) -> None:
            pass

        def put(self, data: bytes, *_: object) -> None:
            sent.append(json.loads(data)["source"])

        def close(self) -> None:
            pass

    monkeypatch.setattr("vision.sinks.publish.Sender", Kept)
    name = os.fsdecode(b"caf\xe9.mp4")
    with Run([replace(one, source=name) for one in frames(2)], plan_of_square(), [Publish("zenoh://a/b")]) as run:
        run.finish()
    assert sent == [name, name]
