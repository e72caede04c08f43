"""Who is who over HTTP: a look at a face goes to whoever asked, and comes back with the request."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from portrait import portrait
from serving import Running, running, until

from vision import VideoWriter
from vision.errors import DataError, UsageError
from vision.people.gallery import Gallery
from vision.people.written import with_people, written
from vision.serve.service import Service


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(Service(["identify"])) as one:
        yield one


def picture(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def post(server: Running, path: str, body: bytes, kind: str = "image/jpeg") -> tuple[int, dict]:
    with server.client() as client:
        answer = client.post(path, content=body, headers={"content-type": kind})
    return answer.status_code, answer.json()


def named(server: Running, people: list[str], body: bytes) -> tuple[int, dict]:
    with server.client() as client:
        answer = client.post("/v1/identify", params={"options": json.dumps({"people": people})}, content=body,
                             headers={"content-type": "image/jpeg"})
    return answer.status_code, answer.json()


def test_a_face_is_enrolled_and_known(server: Running) -> None:
    before = set(server.service.folder.iterdir())
    status, came = post(server, "/v1/enrol", picture(portrait()))
    assert status == 200
    assert came["model"] == "dlib-face"
    status, answer = named(server, [f"Eileen: C.:{came['look']}"], picture(portrait()[:, ::-1]))
    assert status == 200
    who, = answer["results"][0]["record"]["identify"]["objects"]
    assert who["label"] == "Eileen: C."
    assert who["distance"] < 0.3
    far = written(np.frombuffer(base64.b64decode(came["look"]), "<f2") + np.float32(0.2))
    _, answer = named(server, [f"somebody:{far}"], picture(portrait()))
    assert answer["results"][0]["record"]["identify"]["objects"][0]["label"] == "unknown"
    assert set(server.service.folder.iterdir()) == before                # nothing lies on the disk


def test_names_of_visitors_stay_with_them(server: Running) -> None:
    service = server.service
    _, came = post(server, "/v1/enrol", picture(portrait()))
    for n in range(3):
        _, answer = named(server, [f"Anna {n}:{came['look']}"], picture(portrait()))
        assert answer["results"][0]["record"]["identify"]["objects"][0]["label"] == f"Anna {n}"
    with server.client() as client:
        told = client.get("/metrics").text, client.get("/monitor").text
    assert "Anna" not in "".join(told)
    assert 'vision_seen_class_total{class="known",model="identify dlib-face"}' in told[0]
    assert set(service.monitor.lately("identify dlib-face")["class"]) <= {"known", "unknown"}
    assert not [name for name in service.plans._kept if "people" in name]


def test_a_job_that_is_over_has_no_names(server: Running, tmp_path: Path) -> None:
    _, came = post(server, "/v1/enrol", picture(portrait()))
    with VideoWriter(tmp_path / "a.mp4") as film:
        film.write(portrait(), 0.0)
    with server.client() as client:
        job = client.post("/v1/identify", params={"options": json.dumps({"people": [f"Anna:{came['look']}"]})},
                          content=(tmp_path / "a.mp4").read_bytes(), headers={"content-type": "video/mp4"}).json()
        until(lambda: server.service.jobs.find(job["id"]).plan == [])
        assert client.get(f"/v1/jobs/{job['id']}").json()["tasks"] == ["faces", "identify"]


def test_what_shows_nobody_says_why(server: Running) -> None:
    status, said = post(server, "/v1/enrol", picture(np.full((240, 320, 3), 90, np.uint8)))
    assert (status, said) == (422, {"error": "nobody was enrolled: no face was found.", "code": "no_look"})
    status, said = post(server, "/v1/enrol", picture(np.hstack([portrait((320, 240))] * 2)))
    assert (status, said["error"]) == (422, "nobody was enrolled: 2 faces: cut the picture to one.")
    assert post(server, "/v1/enrol", b"GIF89a", "image/gif")[0] == 422
    assert post(server, "/v1/enrol", b"\0" * 100, "video/mp4")[0] == 415
    status, said = post(server, "/v1/identify", picture(portrait()))
    assert (status, said["code"]) == (422, "usage")
    assert "nobody to compare with" in said["error"]


@pytest.mark.parametrize("text", ["nobody", ":AAAA", f"{'n' * 81}:AAAA", "Ann:!!", "Ann:", "Ann:AHw="])
def test_what_is_no_look_is_refused(server: Running, text: str) -> None:
    status, said = named(server, [text], b"")
    assert (status, said["code"]) == (422, "usage")
    with pytest.raises(UsageError, match=r"NAME:LOOK|POST /v1/enrol"):
        with_people(Gallery("any"), [text])


def test_looks_of_another_network_are_refused(server: Running) -> None:
    status, said = named(server, [f"Ann:{written(np.ones(64))}"], picture(portrait()))
    assert (status, said["code"]) == (422, "usage")
    assert "another network" in said["error"]


def test_people_are_added_to_a_gallery() -> None:
    known = Gallery("any")
    known.add("Ann", np.ones((1, 4)))
    both = with_people(known, [f"Bo:{written(np.zeros(4))}", f"Bo:{written(np.full(4, 0.5))}"])
    assert both.names == ("Ann", "Bo")
    assert both.people["Bo"].tolist() == [[0.0] * 4, [0.5] * 4]
    assert known.names == ("Ann",)                                       # the gallery itself stays as it was
    with pytest.raises(DataError, match="two people of one name"):
        with_people(known, [f"ann:{written(np.zeros(4))}"])
    with pytest.raises(UsageError, match="different networks"):
        with_people(known, [f"Bo:{written(np.zeros(4))}", f"Bo:{written(np.zeros(8))}"])
    with pytest.raises(UsageError, match="vectors"):
        with_people(known, [f"Bo:{written(np.zeros(8))}"])
    with pytest.raises(UsageError, match="at most 1000"):
        with_people(known, ["Bo:AAA="] * 1001)
