"""The stream: one picture under way, the newest first, each visitor with steps of its own."""

from __future__ import annotations

import asyncio
import json
import math
import socket as raw_socket
import struct
from collections import Counter
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from serving import Running, running, until
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from vision.errors import SourceError
from vision.serve.limits import Limits
from vision.serve.service import Service
from vision.serve.visitor import Visitor
from vision.types import Frame as Picture


def opened(server: Running, plan: Any = None, **more: Any) -> ClientConnection:
    socket = connect(server.stream, compression=None, proxy=None, max_size=None, **more)
    if plan is not None:
        socket.send(json.dumps({"plan": plan}))
        assert "ready" in json.loads(socket.recv(60))
    return socket


def send(socket: ClientConnection, picture: bytes, sent: float = 0.0) -> None:
    socket.send(struct.pack("<d", sent) + picture)


def ask(socket: ClientConnection, picture: bytes, sent: float = 0.0) -> dict[str, Any]:
    send(socket, picture, sent)
    answer: dict[str, Any] = json.loads(socket.recv(60))
    return answer


def test_a_plan_then_records(server: Running, jpeg: bytes) -> None:
    with opened(server) as socket:
        socket.send(json.dumps({"plan": {"track": {}}}))
        ready = json.loads(socket.recv(60))["ready"]
        assert ready["tasks"] == ["detect", "track"]
        assert ready["models"]["detect"]["name"] == "nanodet-g"
        assert "person" in ready["names"]["track"]
        answers = [ask(socket, jpeg, 1000 + 100 * n) for n in range(6)]
    assert [answer["sent"] for answer in answers] == [1000 + 100 * n for n in range(6)]
    assert [answer["record"]["time_s"] for answer in answers] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert [answer["record"]["frame"] for answer in answers] == list(range(6))
    assert {answer["skipped"] for answer in answers} == {0}
    tracks = [[(row["id"], row["label"]) for row in answer["record"]["track"]["objects"]] for answer in answers]
    assert tracks[-1] == tracks[-2]
    assert (1, "person") in tracks[-1]
    assert all(0 < answer["server_ms"] < 60_000 for answer in answers)


def test_each_visitor_has_its_own_tracks(server: Running, jpeg: bytes) -> None:
    with opened(server, {"track": {}}) as one, opened(server, {"track": {}}) as other:
        for n in range(4):
            first = ask(one, jpeg, 50.0 * n)
        second = ask(other, jpeg)
    assert {row["id"] for row in first["record"]["track"]["objects"]} >= {1}
    assert second["record"]["frame"] == 0
    assert all(row["age_s"] == 0 for row in second["record"]["track"]["objects"])


def test_two_visitors_with_two_files_at_once_get_each_their_own(server: Running, jpeg: bytes) -> None:
    """What one sees is never the other's, and is what it sees alone."""
    whole = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    files = [jpeg, cv2.imencode(".png", np.ascontiguousarray(whole[::2, ::-2]))[1].tobytes()]     # mirrored, and small
    alone, together = [], [list[Any](), list[Any]()]
    for file in files:
        with opened(server, {"detect": {}}) as socket:
            alone.append(ask(socket, file)["record"])

    def watch(which: int) -> None:
        with opened(server, {"detect": {}}) as socket:
            together[which] = [ask(socket, files[which], 40.0 * n)["record"] for n in range(8)]

    threads = [Thread(target=watch, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alone[0]["detect"]["objects"] != alone[1]["detect"]["objects"]
    for own, records in zip(alone, together, strict=True):
        assert len(records) == 8
        assert all(one["size"] == own["size"] and one["detect"] == own["detect"] for one in records)


def test_the_newest_picture_is_answered_and_the_others_are_counted(server: Running, jpeg: bytes) -> None:
    with opened(server, {"detect": {}}) as socket:
        for n in range(10):
            send(socket, jpeg, float(n))
        answers = [json.loads(socket.recv(60))]
        while answers[-1]["sent"] != 9.0:
            answers.append(json.loads(socket.recv(60)))
    assert len(answers) < 10
    assert sum(answer["skipped"] for answer in answers) + len(answers) == 10


def test_the_plan_may_be_switched_while_pictures_come(server: Running, jpeg: bytes) -> None:
    with opened(server, {"track": {}}) as socket:
        ask(socket, jpeg)
        send(socket, jpeg, 40.0)
        socket.send(json.dumps({"plan": {"detect": {"classes": ["laptop"], "min_score": 0.1}}}))
        kinds = [json.loads(socket.recv(60)), json.loads(socket.recv(60))]
        assert sorted(next(iter(kind)) for kind in kinds) == ["ready", "record"]
        record = ask(socket, jpeg, 80.0)["record"]
    assert "track" not in record
    assert {row["label"] for row in record["detect"]["objects"]} == {"laptop"}


@pytest.mark.parametrize(("message", "said"), [
    ("nonsense", "a message is JSON"), ("[]", "a message is JSON"), ("{}", "a message is JSON"),
    ("[" * 50_000, "a message is JSON"), ("x" * 70_000, "at most 65536 characters"),
    ('{"plan": 3}', "a plan is its tasks"), ('{"plan": {}}', "a plan is its tasks"),
    ('{"plan": {"detec": {}}}', "Nearest: detect"), ('{"plan": {"detect": []}}', "names with values"),
    ('{"plan": {"detect": {"model": "/etc/passwd"}}}', "There are: nanodet-g"),
    ('{"plan": {"detect": {"stored": "/etc/passwd"}}}', "no option 'stored'"),
    ('{"plan": {"detect": {"min_score": NaN}}}', "number"), ('{"plan": {"detect": {"classes": {"a": 1}}}}', "class"),
    ('{"plan": {"detect": {"max_detections": 1e400}}}', "number"), ('{"source": "/etc/passwd"}', "no source"),
    ('{"plan": {"detect": {"model": []}}}', "no model []"),
    ('{"plan": {"detect": {"classes": [null]}}}', "a list of texts"),
    ('{"source": {}}', "no source"), ('{"plan": {"track": {"looks": "mobilenet-v2"}}}', "no option 'looks'"),
])
def test_a_message_that_cannot_be(server: Running, jpeg: bytes, message: str, said: str) -> None:
    with opened(server) as socket:
        socket.send(message)
        answer = json.loads(socket.recv(60))
        assert answer["code"] == "usage"
        assert answer.get("of") == ("plan" if message.startswith('{"plan"') else None)
        assert said in answer["error"]
        socket.send('{"plan": {"detect": {}}}')          # and the stream goes on
        assert "ready" in json.loads(socket.recv(60))


def test_garbage_for_pictures(server: Running, jpeg: bytes) -> None:
    rng = np.random.default_rng(5)
    with opened(server) as socket:
        assert ask(socket, jpeg)["code"] == "no_plan"
        socket.send('{"plan": {"detect": {}}}')
        assert "ready" in json.loads(socket.recv(60))
        socket.send(b"short")
        assert json.loads(socket.recv(60))["code"] == "usage"
        for n in range(40):
            bad = bytearray(jpeg if n % 2 else rng.bytes(500))
            for at in rng.integers(0, len(bad), 40):
                bad[at] = rng.integers(256)
            answer = ask(socket, bytes(bad[: int(rng.integers(1, len(bad)))]), float(n))
            assert answer.get("code") == "bad_picture" or "record" in answer
        bomb = cv2.imencode(".png", np.zeros((4000, 4000), np.uint8))[1].tobytes()
        assert ask(socket, bomb)["code"] == "pixels"
        assert ask(socket, jpeg)["record"]["detect"]["objects"]


def test_clocks_that_lie(server: Running, jpeg: bytes) -> None:
    with opened(server, {"track": {}}) as socket:
        answers = [ask(socket, jpeg, sent) for sent in (5.0, 4.0, math.nan, math.inf, -1e300, 1e300, 1e300, 7.0)]
    times = [answer["record"]["time_s"] for answer in answers]
    assert times == sorted(set(times))
    assert times[-1] < 60
    assert answers[2]["sent"] is None


def test_a_phone_that_is_turned(server: Running, jpeg: bytes) -> None:
    turned = cv2.imencode(".jpg", cv2.rotate(cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1), cv2.ROTATE_90_CLOCKWISE))
    with opened(server, {"track": {}}) as socket:
        assert ask(socket, jpeg, 0)["record"]["size"] == [640, 480]
        assert ask(socket, turned[1].tobytes(), 40)["record"]["size"] == [480, 640]
        assert ask(socket, jpeg, 80)["record"]["frame"] == 2


def test_past_the_bound_a_visitor_waits_and_gets_its_seat(jpeg: bytes) -> None:
    service = Service(["detect"], limits=Limits(max_visitors=1))
    with running(service) as server, opened(server, {"detect": {}}) as third:
        with opened(server, {"detect": {}}) as first, opened(server, {"detect": {}}) as second:
            assert "record" in ask(first, jpeg)
            assert ask(second, jpeg) == {"wait": {"ahead": 1}}
            assert ask(third, jpeg) == {"wait": {"ahead": 2}}
            assert service.seats.taken == 1
            first.close()
            assert "record" in json.loads(second.recv(60))
            assert json.loads(third.recv(60)) == {"wait": {"ahead": 1}}
        assert "record" in json.loads(third.recv(60))


def test_who_changes_its_source_while_it_waits_for_a_seat_is_not_answered(
    jpeg: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(["detect"], limits=Limits(max_visitors=1))
    with running(service) as server, opened(server, {"detect": {}}) as second:
        with opened(server, {"detect": {}}) as first:
            assert "record" in ask(first, jpeg)
            assert ask(second, jpeg) == {"wait": {"ahead": 1}}
            second.send('{"source": null}')
            second.send('{"plan": {"detect": {}}}')      # which is answered after it
            assert "ready" in json.loads(second.recv(60))
        until(lambda: service.seats.taken == 1 and service.seats.waiting == 0)
        assert "record" in ask(second, jpeg)
    assert not caplog.records


def test_a_task_is_loaded_when_it_is_first_asked_for(jpeg: bytes) -> None:
    service = Service(["classify", "detect"], lazy=True)
    with running(service) as server, opened(server) as socket:
        assert service.models["detect"] == {}
        socket.send('{"plan": {"detect": {}}}')
        assert json.loads(socket.recv(60)) == {"loading": "detect"}
        assert "ready" in json.loads(socket.recv(60))
        assert "record" in ask(socket, jpeg)


def test_a_camera_of_the_server(server: Running, jpeg: bytes, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 480))
    for _ in range(5):
        writer.write(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
    writer.release()
    service = Service(["detect"], cameras=[str(film), str(tmp_path / "not there.mp4")])
    with running(service) as watched, opened(watched, {"detect": {}}) as socket:
        with watched.client() as client:
            assert [one["name"] for one in client.get("/v1/cameras").json()] == ["camera:0", "camera:1"]
        socket.send('{"source": "camera:0"}')
        shown = socket.recv(60)
        assert isinstance(shown, bytes)
        assert cv2.imdecode(np.frombuffer(shown[8:], np.uint8), cv2.IMREAD_COLOR).shape == (480, 640, 3)
        record = json.loads(socket.recv(60))
        assert record["sent"] == struct.unpack("<d", shown[:8])[0]
        assert record["record"]["detect"]["objects"]
        socket.send('{"source": "camera:1"}')
        answer: Any = {}
        while answer.get("code") != "camera":
            message = socket.recv(60)
            answer = json.loads(message) if isinstance(message, str) else {}
        assert "not there.mp4" in answer["error"]
        socket.send('{"source": null}')
        until(lambda: not service.cameras._watchers["camera:1"])


def test_another_source_begins_anew(server: Running, jpeg: bytes, tmp_path: Path) -> None:
    """Cameras of one size, and one's own pictures: each has tracks and a clock of its own."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    films = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for film in films:
        writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 480))
        for _ in range(100):
            writer.write(image)
        writer.release()
    service = Service(["detect", "track"], cameras=list(map(str, films)))
    with running(service) as watched, opened(watched, {"track": {}}) as socket:

        def records(source: str | None, count: int) -> list[dict[str, Any]]:
            socket.send(json.dumps({"source": source}))
            uri = "visitor" if source is None else str(films[int(source[-1])])
            found: list[dict[str, Any]] = []
            while len(found) < count:
                if source is None:
                    send(socket, jpeg, 5000.0 + 100 * len(found))
                message = socket.recv(60)
                answer = {} if isinstance(message, bytes) else json.loads(message)
                assert "error" not in answer
                if "record" in answer and answer["record"]["source"] == uri:
                    found.append(answer["record"])
            return found

        for source in (None, "camera:0", "camera:1", "camera:0", None):
            came = records(source, 6)
            assert all(row["age_s"] == 0 for row in came[0]["track"]["objects"]), source
            assert came[-1]["track"]["objects"][0]["id"] == 1
            times = [one["time_s"] for one in came]
            assert times == sorted(set(times))
            if source is None:
                assert [one["frame"] for one in came] == list(range(6))
                assert times[0] == 0


def test_a_late_picture_of_another_source_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(["track"])
    service.start()
    picture = np.zeros((48, 64, 3), np.uint8)

    class Wire:
        told: ClassVar[list[Any]] = []

        async def tell(self, message: Any) -> None:
            self.told.append(message)

        async def show(self, picture: bytes) -> None:
            self.told.append(picture)

    async def visit() -> None:
        visitor = Visitor(service, Wire(), "any")
        watchers: list[Any] = []
        monkeypatch.setattr(service.cameras, "watch", lambda name, told: watchers.append(told) or (lambda: None))
        await visitor.text('{"plan": {"track": {}}}')
        for source in ('{"source": "camera:0"}', '{"source": "camera:1"}'):
            await visitor.text(source)
        watchers[0](Picture(picture, 7, 90.0, "one"))            # what the first camera still had to say
        watchers[0](SourceError("the first is gone"))
        await asyncio.sleep(0)
        assert (visitor._newest, visitor._trouble) == (None, None)
        watchers[1](Picture(picture, 0, 0.0, "two"))
        await asyncio.sleep(0)
        assert visitor._newest is not None
        under_way, visitor._newest = visitor._newest, None
        await visitor.text('{"source": null}')                   # while it is worked on
        await visitor._answer(under_way)
        visitor.close()

    try:
        asyncio.run(visit())
        assert [next(iter(one)) for one in Wire.told] == ["ready"]
    finally:
        service.close()


@pytest.mark.slow
def test_eight_visitors_share_fairly_with_a_client_that_asks_for_much(server: Running, jpeg: bytes) -> None:
    done: Counter[int] = Counter()
    end = monotonic() + 4

    def visit(number: int) -> None:
        with opened(server, {"detect": {}}) as socket:
            while monotonic() < end:
                assert "record" in ask(socket, jpeg)
                done[number] += 1

    def flood() -> None:
        files = [("picture", (f"{n}.jpg", jpeg, "image/jpeg")) for n in range(8)]
        with server.client() as client:
            while monotonic() < end:
                assert client.post("/v1/detect", files=files).status_code in (200, 503)      # 503: it waited too long

    threads = [Thread(target=visit, args=(n,)) for n in range(8)] + [Thread(target=flood) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    share = sum(done.values()) / 8
    assert len(done) == 8
    assert min(done.values()) >= 0.7 * share
    assert share >= 2


def test_one_that_does_not_read_is_dropped_and_hurts_nobody(jpeg: bytes) -> None:
    service = Service(["detect"], limits=Limits(timeout=1))
    with running(service) as server, opened(server, {"detect": {}}) as other:
        assert "record" in ask(other, jpeg)
        deaf = raw_socket.socket()
        deaf.setsockopt(raw_socket.SOL_SOCKET, raw_socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert b" 101 " in deaf.recv(4096)
        plan = b'{"plan": {"detect": {"min_score": 0, "max_iou": 1, "max_detections": 3000}}}'
        deaf.sendall(Frame(Opcode.TEXT, plan).serialize(mask=True))
        picture = Frame(Opcode.BINARY, struct.pack("<d", 0) + jpeg).serialize(mask=True)
        until(lambda: service.seats.taken == 1)
        took: list[float] = []
        for n in range(200):
            try:
                deaf.sendall(picture)
            except OSError:                              # it was dropped
                break
            began = monotonic()
            assert "record" in ask(other, jpeg, float(n))
            took.append(monotonic() - began)
        until(lambda: len(service.seats._taken) == 1, 5)
        assert "record" in ask(other, jpeg)
        assert len(took) < 200
        assert float(np.median(took)) < 1
        deaf.close()


def test_one_who_comes_before_the_models_are_ready_is_served(jpeg: bytes) -> None:
    service = Service(["classify", "detect"])
    with running(service, ready=False) as server, opened(server) as socket:
        socket.send('{"plan": {"classify": {}}}')
        while "ready" not in json.loads(socket.recv(60)):
            pass
        assert "record" in ask(socket, jpeg)
        until(lambda: service.ready, 60)
        assert service.turns.workers == max(int(model.in_flight) for _, model in service.engines()) + 1
        assert "record" in ask(socket, jpeg)


@pytest.mark.slow
def test_memory_does_not_grow_with_what_is_asked(server: Running, jpeg: bytes) -> None:
    small = cv2.imencode(".jpg", cv2.resize(cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1), (96, 64)))[1].tobytes()

    def visits(times: int) -> float:
        for _ in range(times):
            with opened(server, {"track": {}}) as socket, server.client() as client:
                for n in range(5):
                    assert "record" in ask(socket, small, 40.0 * n)
                assert client.post("/v1/detect", content=small, headers={"content-type": "image/jpeg"}).is_success
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    first = visits(20)
    assert visits(60) - first < 25
    until(lambda: server.service.seats.taken == 0)


def test_a_failure_of_a_plan_is_told_and_one_of_the_connection_is_not_logged(
    server: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the device is on fire")

    with opened(server) as socket, monkeypatch.context() as patch:
        patch.setattr(server.service, "asked", broken)
        socket.send('{"plan": {"detect": {}}}')
        assert json.loads(socket.recv(60))["code"] == "failed"           # and the stream goes on
        socket.send("nonsense")
        assert json.loads(socket.recv(60))["code"] == "usage"
    assert "the device is on fire" in caplog.text
    caplog.clear()
    for _ in range(5):                                                   # gone before the answer is there
        socket = opened(server)
        socket.send('{"plan": {"detect": {}}}')
        socket.socket.close()
    with opened(server, {"detect": {}}):
        assert not caplog.records
