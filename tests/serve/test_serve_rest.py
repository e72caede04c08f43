"""Pictures and videos over HTTP: the records are those of the command line."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path
from threading import Event
from typing import Any

import av
import cv2
import httpx
import numpy as np
import pytest
from record_schema import check_record
from serving import Running, running, until

from vision import Detector, read
from vision.errors import WeightsError
from vision.item import Item
from vision.record import SCHEMA
from vision.serve.answers import status_of, told
from vision.serve.chain import Chain
from vision.serve.jobs import Job, records_of
from vision.serve.limits import Limits
from vision.serve.service import Service
from vision.types import Frame


def post(server: Running, task: str, data: bytes, kind: str = "image/jpeg", **options: object) -> httpx.Response:
    with server.client() as client:
        return client.post(f"/v1/{task}", content=data, headers={"content-type": kind},
                           params={"options": json.dumps(options)} if options else None)


def test_a_picture_gets_the_record_of_the_command_line(server: Running, jpeg: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(jpeg)
    with Detector.load() as detector, read(file) as source:
        found = detector(next(source).image, min_score=0.6)
    answer = post(server, "detect", jpeg, min_score=0.6)
    assert answer.status_code == 200
    record = answer.json()["results"][0]["record"]
    check_record(record)
    assert record["schema"] == SCHEMA
    assert record["size"] == [640, 480]
    objects = record["detect"]["objects"]
    assert [one["label"] for one in objects] == [detector.names[label] for label in found.labels]
    assert len(objects) >= 1
    assert np.allclose([one["box"] for one in objects], found.boxes, atol=1)
    assert min(one["score"] for one in objects) >= 0.6


def test_one_bad_picture_fails_alone(server: Running, jpeg: bytes) -> None:
    files = [("picture", ("one.jpg", jpeg, "image/jpeg")), ("picture", ("../bad.jpg", jpeg[:2000], "image/jpeg")),
             ("picture", ("two.png", b"no picture", "image/png")), ("picture", ("three.jpg", jpeg, "image/jpeg"))]
    with server.client() as client:
        answer = client.post("/v1/detect", files=files, data={"options": '{"classes": "person"}'})
    assert answer.status_code == 200
    first, second, third, fourth = answer.json()["results"]
    assert first["record"]["detect"]["objects"] == fourth["record"]["detect"]["objects"] != []
    assert (first["record"]["source"], fourth["record"]["frame"]) == ("one.jpg", 3)
    assert second["code"] == third["code"] == "bad_picture"
    assert "cut off" in second["error"]


def test_pictures_of_a_tracker_are_one_stream(server: Running, jpeg: bytes) -> None:
    files = [("picture", (f"{n}.jpg", jpeg, "image/jpeg")) for n in range(5)]
    with server.client() as client:
        results = client.post("/v1/track", files=files, data={"rate": "10"}).json()["results"]
    times = [one["record"]["time_s"] for one in results]
    assert times == [0.0, 0.1, 0.2, 0.3, 0.4]
    ids = [[row["id"] for row in one["record"]["track"]["objects"]] for one in results]
    assert ids[-1]
    assert ids[-1] == ids[-2]


@pytest.mark.parametrize(("options", "said"), [
    ({"min_score": 2}, "at most 1"), ({"classes": ["unicorn"]}, "no class 'unicorn'"),
    ({"min_scor": 0.5}, "Nearest: min_score"), ({"model": "/etc/passwd"}, "There are: nanodet-g"),
    ({"model": 3}, "no model"), ({"stored": "/etc/passwd"}, "no option 'stored'"),
    ({"decoder": "yolo"}, "no option 'decoder'"), ({"key": "x"}, "no option 'key'"),
    ({"weak": 0.1}, "no option 'weak'"),
])
def test_only_remote_fields_may_be_set(server: Running, jpeg: bytes, options: dict[str, object], said: str) -> None:
    answer = post(server, "detect", jpeg, **options)
    assert answer.status_code == 422
    assert said in answer.json()["error"]
    assert answer.json()["code"] == "usage"


@pytest.mark.parametrize(("data", "kind", "status", "code"), [
    (b"", "image/jpeg", 422, "bad_picture"), (b"x" * 100, "image/png", 422, "bad_picture"),
    (b"x", "text/plain", 415, "kind"), (b"x", "multipart/form-data", 400, "form"),
    (b"#EXTM3U\n/etc/passwd", "video/mp4", 422, "bad_video"), (b"", "video/mp4", 422, "bad_video"),
    (b"ffconcat version 1.0\nfile /etc/passwd", "application/octet-stream", 422, "bad_video"),
])
def test_what_is_no_picture(server: Running, data: bytes, kind: str, status: int, code: str) -> None:
    answer = post(server, "detect", data, kind)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_nothing_that_was_sent_is_passed_over(server: Running, jpeg: bytes, tmp_path: Path) -> None:
    both = [("picture", ("a.jpg", jpeg, "image/jpeg")),
            ("video", ("a.mp4", film(tmp_path / "film.mp4", jpeg), "video/mp4"))]
    with server.client() as client:
        before = set(server.service.folder.iterdir())
        answer = client.post("/v1/detect", files=both)
        assert (answer.status_code, answer.json()["code"]) == (422, "both")
        assert set(server.service.folder.iterdir()) == before
        answer = client.post("/v1/detect?min_score=0.99", content=jpeg, headers={"content-type": "image/jpeg"})
    assert (answer.status_code, answer.json()["code"]) == (422, "query")
    assert '{"min_score": 0.4}' in answer.json()["error"]


def test_weights_that_the_server_does_not_have(caplog: pytest.LogCaptureFixture) -> None:
    error = WeightsError("the weights of 'vittrack' are not here. Looked in: /home/somebody/weights.")
    assert status_of(error) == (422, "no_weights")
    assert "/" not in told(error)["error"]
    assert "/home/somebody" in caplog.text


def test_a_picture_of_too_many_pixels(server: Running) -> None:
    bomb = cv2.imencode(".png", np.zeros((4000, 4000), np.uint8))[1].tobytes()
    answer = post(server, "detect", bomb, "image/png")
    assert (answer.status_code, answer.json()["code"]) == (413, "pixels")
    assert "2000000 pixels" in answer.json()["error"]


def film(path: Path, jpeg: bytes, frames: int = 12) -> bytes:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for n in range(frames):
            moved = cv2.resize(np.roll(image, 4 * n, axis=1), (320, 240))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, "bgr24")))
        container.mux(stream.encode())
    return path.read_bytes()


def test_a_video_is_a_job_whose_records_are_those_of_a_run(server: Running, jpeg: bytes, tmp_path: Path) -> None:
    from vision import Detect, Run, Track

    video = film(tmp_path / "film.mp4", jpeg)
    answer = post(server, "track", video, "video/mp4", lost_after=0.7)
    assert answer.status_code == 202
    job = answer.json()
    with server.client() as client:
        lines = client.get(job["records"]).text.splitlines()
        ended = client.get(f"/v1/jobs/{job['id']}").json()
        assert client.get("/v1/jobs/nothing").status_code == 404
    records = [json.loads(line) for line in lines]
    with Run(str(tmp_path / "film.mp4"), [Detect(), Track(lost_after=0.7)]) as run:
        wanted = [item.record for item in run]
    assert len(records) == 12
    for one, other in zip(records, wanted, strict=True):
        assert {**one, "source": ""} == {**other, "source": ""}
    assert (ended["state"], ended["frames"], ended["of"]) == ("done", 12, 12)
    assert ended["report"]["unexplained"] == 0
    assert str(server.service.folder) not in json.dumps(ended) + "".join(lines)
    assert {path.suffix for path in server.service.folder.iterdir()} == {".jsonl"}


def test_records_come_while_a_job_goes_on_and_it_can_be_stopped(server: Running, jpeg: bytes, tmp_path: Path) -> None:
    video = film(tmp_path / "film.mp4", jpeg, frames=300)
    job = post(server, "detect", video, "video/mp4").json()
    with server.client() as client:
        with client.stream("GET", job["records"]) as stream:
            first = json.loads(next(stream.iter_lines()))
            assert first["frame"] == 0
            assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "running"
        assert client.delete(f"/v1/jobs/{job['id']}").status_code == 200
        until(lambda: client.get(f"/v1/jobs/{job['id']}").json()["state"] == "stopped")
        assert 0 < client.get(f"/v1/jobs/{job['id']}").json()["frames"] < 300


def test_a_broken_video_fails_with_the_reason(server: Running, jpeg: bytes, tmp_path: Path) -> None:
    video = film(tmp_path / "film.mp4", jpeg)
    job = post(server, "detect", video[:300], "video/mp4").json()
    with server.client() as client:
        last = json.loads(client.get(job["records"]).text.splitlines()[-1])
        ended = client.get(f"/v1/jobs/{job['id']}").json()
    assert ended["state"] == "failed"
    assert last["error"] == ended["error"] != ""
    assert str(server.service.folder) not in ended["error"]


def test_a_plan_of_several_tasks_for_a_video(server: Running, jpeg: bytes, tmp_path: Path) -> None:
    video = film(tmp_path / "film.mp4", jpeg, 3)
    with server.client() as client:
        answer = client.post("/v1/jobs", content=video, headers={"content-type": "video/mp4"}, params={
            "options": json.dumps({"detect": {"min_score": 0.3}, "track": {"tracker": "sort"}})})
        records = [json.loads(line) for line in client.get(answer.json()["records"]).text.splitlines()]
    assert answer.json()["tasks"] == ["detect", "track"]
    assert [record["track"]["model"] for record in records] == ["sort"] * 3
    assert records[0]["detect"]["min_score"] == 0.3


@pytest.mark.parametrize(("options", "status"), [
    ({"detect": {"model": []}}, 422), ({"detect": {"classes": [None]}}, 422), ({"detect": []}, 422), ({}, 422),
])
def test_a_job_with_options_that_cannot_be(
    server: Running, jpeg: bytes, tmp_path: Path, options: dict[str, object], status: int
) -> None:
    with server.client() as client:
        answer = client.post("/v1/jobs", content=film(tmp_path / "film.mp4", jpeg, 2), params={
            "options": json.dumps(options)}, headers={"content-type": "Video/MP4"})
    assert (answer.status_code, answer.json()["code"]) == (status, "usage")


def test_a_job_that_waits_is_stopped_at_once(jpeg: bytes, tmp_path: Path) -> None:
    service = Service(["detect"], limits=Limits(max_jobs=3))
    long, short = film(tmp_path / "long.mp4", jpeg, 2000), film(tmp_path / "short.mp4", jpeg, 2)
    with running(service) as server, server.client() as client:
        jobs = [post(server, "detect", long, "video/mp4").json() for _ in range(3)]
        assert post(server, "detect", short, "video/mp4").status_code == 503
        until(lambda: sum(job.state == "running" for job in service.jobs._jobs.values()) == 2)
        waiting = next(job for job in jobs if client.get(f"/v1/jobs/{job['id']}").json()["state"] == "waiting")
        assert client.delete(f"/v1/jobs/{waiting['id']}").status_code == 200
        assert client.get(waiting["records"]).text == ""
        assert client.get(f"/v1/jobs/{waiting['id']}").json()["state"] == "stopped"
        assert not service.jobs.find(waiting["id"]).path.exists()
        assert post(server, "detect", short, "video/mp4").status_code == 202


@pytest.mark.parametrize("path", ["/v1/jobs/{}", "/v1/jobs/{}/records", "/metrics"])
def test_a_job_is_forgotten_an_hour_after_its_end(
    jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Also where no other one comes: whoever looks at jobs finds it gone, and its records are."""
    service = Service(["detect"])
    with running(service) as server, server.client() as client:
        number = post(server, "detect", film(tmp_path / "film.mp4", jpeg, 2), "video/mp4").json()["id"]
        until(lambda: service.jobs.find(number).ended)
        records = service.jobs.find(number).records
        assert client.get(f"/v1/jobs/{number}").json()["state"] == "done"
        assert records.is_file()
        service.jobs._jobs[number].ended -= 3599
        client.get(path.format(number))
        assert records.is_file()
        service.jobs._jobs[number].ended -= 2
        status = client.get(path.format(number)).status_code
        assert status == (404 if "{}" in path else 200)
        assert number not in service.jobs._jobs
        assert not records.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("form", [False, True])
def test_a_video_that_finds_no_room_is_told_so(
    server: Running, jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: bool
) -> None:
    """As where the server's files lie in memory, which has a size."""
    video = film(tmp_path / "film.mp4", jpeg, 30)
    before = set(server.service.folder.iterdir())
    named = tempfile.NamedTemporaryFile

    def full(**options: Any) -> Any:
        file = named(**options)
        os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())
        return file

    monkeypatch.setattr("vision.serve.upload.tempfile.NamedTemporaryFile", full)
    with server.client() as client:
        answer = client.post("/v1/detect", files={"video": ("film.mp4", video, "video/mp4")}) if form else client.post(
            "/v1/detect", content=video, headers={"content-type": "video/mp4"})
    assert (answer.status_code, answer.json()["code"]) == (503, "full")
    assert set(server.service.folder.iterdir()) == before


def test_a_reader_of_records_does_not_keep_the_server_from_its_end(tmp_path: Path) -> None:
    job = Job(("film", tmp_path / "film.mp4"), [], "somebody")
    job.records.write_text('{"frame": 0}\n', encoding="utf-8")
    ends = iter([False, False, True, True])

    async def read_all() -> list[bytes]:
        return [part async for part in records_of(job, lambda: next(ends))]

    assert asyncio.run(asyncio.wait_for(read_all(), 10)) == [b'{"frame": 0}\n']
    assert not job.over


def test_a_job_names_no_path_of_the_server(
    server: Running, jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object, **more: object) -> None:
        raise WeightsError("the weights of 'vittrack' are not here. Looked in: /home/somebody/weights.")

    monkeypatch.setattr("vision.serve.jobs.Run", lacking)
    job = post(server, "detect", film(tmp_path / "film.mp4", jpeg, 2), "video/mp4").json()
    with server.client() as client:
        last = json.loads(client.get(job["records"]).text)
        ended = client.get(f"/v1/jobs/{job['id']}").json()
    assert last == {"error": ended["error"], "code": "no_weights"}
    assert "/" not in ended["error"]


def test_a_video_of_too_many_pixels_is_told_so(server: Running, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "large.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 2000, 1600, "yuvj420p"
        for _ in range(2):
            picture = np.zeros((1600, 2000, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode())
    job = post(server, "detect", (tmp_path / "large.avi").read_bytes(), "video/x-msvideo").json()
    with server.client() as client:
        assert "more than 2000000 pixels are not decoded" in json.loads(client.get(job["records"]).text)["error"]


def test_a_late_picture_of_a_stream_ends_it(jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps are nobody's while it works, and are given back when it is done."""
    looked, closed = Chain.look, Chain.close
    said: list[str] = []
    goes_on = Event()

    def look(chain: Chain, frame: Frame) -> Item:
        if frame.source == "1.jpg":
            goes_on.wait(20)
        item = looked(chain, frame)
        said.append(frame.source)
        return item

    def close(chain: Chain) -> None:
        said.append("closed")
        closed(chain)

    service = Service(["track"], limits=Limits(timeout=1))
    with running(service) as server, server.client() as client, monkeypatch.context() as patch:
        patch.setattr(Chain, "look", look)
        patch.setattr(Chain, "close", close)
        files = [("picture", (f"{n}.jpg", jpeg, "image/jpeg")) for n in range(4)]
        results = client.post("/v1/track", files=files).json()["results"]
        assert ["record" in one for one in results] == [True, False, False, False]
        assert [one["code"] for one in results[1:]] == ["busy"] * 3
        assert said == ["0.jpg"]
        goes_on.set()
        until(lambda: len(said) == 3)
        assert said == ["0.jpg", "1.jpg", "closed"]
        whole = client.post("/v1/track", files=files[:1] * 3).json()["results"]
        assert [one["record"]["frame"] for one in whole] == [0, 1, 2]
        assert said[3:] == ["0.jpg"] * 3 + ["closed"]


@pytest.mark.parametrize(("frames", "noted"), [(4, False), (5, True)])
def test_a_video_that_is_longer_than_is_read_is_told_so(
    jpeg: bytes, tmp_path: Path, frames: int, noted: bool
) -> None:
    with running(Service(["detect"], limits=Limits(max_frames=4))) as server, server.client() as client:
        job = post(server, "detect", film(tmp_path / "film.mp4", jpeg, frames), "video/mp4").json()
        assert len(client.get(job["records"]).text.splitlines()) == 4
        notes = client.get(f"/v1/jobs/{job['id']}").json()["report"]["notes"]
    assert ("only the first 4 frames were read" in notes) == noted


def test_tasks_and_models(server: Running) -> None:
    with server.client() as client:
        tasks = {one["task"]: one for one in client.get("/v1/tasks").json()}
        models = client.get("/v1/models").json()
    assert set(tasks) == {"detect", "track"}
    names = {option["name"]: option for option in tasks["detect"]["options"]}
    assert set(names) >= {"min_score", "classes", "max_detections", "max_iou", "agnostic"}
    assert not {"model", "decoder", "stored", "weak", "key", "every"} & set(names)
    assert (names["max_detections"]["type"], names["max_detections"]["default"]) == ("integer", 300)
    assert {option["name"]: option["choices"] for option in tasks["track"]["options"]}["tracker"] == [
        "default", "sort", "bytetrack", "ocsort"]
    assert [(one["task"], one["name"]) for one in models] == [("detect", "nanodet-g")]
    assert "person" in models[0]["classes"]
