"""Who may ask, how much, how fast; and clients that mean harm."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Running, running, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from vision.errors import UsageError
from vision.serve.limits import Limits
from vision.serve.safety import HEADERS, Safety
from vision.serve.service import Service
from vision.serve.settings import ServerOptions
from vision.serve.tls import certificate, checked
from vision.serve.turns import Busy, Turns

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One with a token, a page and small limits."""
    page = tmp_path_factory.mktemp("page")
    (page / "index.html").write_text("<h1>the page</h1>\n", encoding="utf-8")
    (page / "link").symlink_to("/etc/passwd")
    (page.parent / "secret.py").write_text("running", encoding="utf-8")
    limits = Limits(max_body=200_000, max_video=300_000, timeout=1, max_connections=40, max_rate=20)
    with running(Service(["classify"], limits=limits), token=TOKEN, page=page) as found:
        yield found




def raw(server: Running, data: bytes, seconds: float = 10, pause: float = 0.0) -> bytes:
    """What the server answers to these bytes until it closes the connection, or has answered."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        with suppress(OSError):
            if pause:
                for at in range(0, len(data), 20):
                    connection.sendall(data[at:at + 20])
                    time.sleep(pause)
            else:
                connection.sendall(data)
        said = b""
        with suppress(OSError):
            while part := connection.recv(65536):
                said += part
                connection.settimeout(0.3)
    return said


@pytest.mark.parametrize(("given", "refused"), [
    ({"host": "0.0.0.0"}, "a token is needed"), ({"host": "::"}, "a token is needed"),
    ({"host": "10.1.2.3"}, "a token is needed"), ({"host": "example"}, "a token is needed"),
    ({"host": "0.0.0.0", "token": "a b"}, "letters, digits"), ({"cert": "a.pem"}, "go together"),
    ({"host": "0.0.0.0", "token": "secret"}, ""), ({"host": "0.0.0.0", "open": True}, ""),
    ({}, ""), ({"host": "::1"}, ""), ({"host": "localhost"}, ""), ({"host": "127.8.0.1"}, ""),
])
def test_a_network_needs_a_token(given: dict[str, Any], refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISION_TOKEN", raising=False)
    if refused:
        with pytest.raises(UsageError, match=refused):
            ServerOptions(**given)
    else:
        ServerOptions(**given)
    monkeypatch.setenv("VISION_TOKEN", "from-outside")
    assert ServerOptions(host="0.0.0.0").secret == "from-outside"


def test_the_token(guarded_server: Running) -> None:
    with httpx.Client(base_url=guarded_server.url, trust_env=False) as nobody:
        assert nobody.get("/healthz").status_code == nobody.get("/readyz").status_code == 200
        for path in ("/v1/tasks", "/metrics", "/docs", "/openapi.json", "/", "/nothing"):
            answer = nobody.get(path)
            assert (answer.status_code, answer.json()["code"]) == (401, "token")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert nobody.get("/v1/tasks", params={"token": TOKEN}).status_code == 200
        page = nobody.get("/", params={"token": TOKEN, "task": "detect"})
        assert (page.status_code, page.headers["location"]) == (303, "/?task=detect")
        assert {"HttpOnly", "SameSite=Strict"} <= set(page.headers["set-cookie"].split("; "))
        assert nobody.get("/").text == "<h1>the page</h1>\n"     # by the cookie
        assert nobody.get("/", params={"csrftoken": "1"}).text == "<h1>the page</h1>\n"      # which is no token
    with pytest.raises(InvalidStatus) as refused:
        connect(guarded_server.stream, proxy=None)
    assert refused.value.response.status_code == 401
    with connect(f"{guarded_server.stream}?token={TOKEN}", proxy=None) as stream:
        stream.send("{}")
        assert json.loads(stream.recv(10))["code"] == "usage"


@pytest.mark.parametrize("cookies", [
    'a={"x":1}; vision_token=T', "pref=a b; vision_token=T", "a; vision_token=T", "vision_token=T; a=ü",
    'vision_token="T";', "=;;x= ;vision_token=T ;", "my_vision_token=no; vision_token=T",
])
def test_cookies_of_others_are_passed_over(guarded_server: Running, cookies: str) -> None:
    with httpx.Client(base_url=guarded_server.url, trust_env=False) as client:
        headers = {"cookie": cookies.replace("T", TOKEN).encode()}
        assert client.get("/v1/tasks", headers=headers).status_code == 200
        headers = {"cookie": cookies.replace("vision_token=", "visiontoken=").encode()}
        assert client.get("/v1/tasks", headers=headers).status_code == 401


def test_a_guessed_token(server: Running) -> None:
    service = Service(["classify"], lazy=True)
    with running(service, ready=False, token=TOKEN) as found, httpx.Client(
            base_url=found.url, trust_env=False) as client:
        answers = [client.get("/v1/tasks", headers={"authorization": f"Bearer {n}"}) for n in range(14)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 4
        assert answers[-1].json()["code"] == "guessing"
        right = client.get("/v1/tasks", headers={"authorization": f"Bearer {TOKEN}"})
        assert right.status_code == 429                  # it cannot be told apart by trying
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_server_guesses_nothing_and_locks_nobody_out(site: str) -> None:
    service = Service(["classify"], lazy=True)
    with running(service, ready=False, token=TOKEN) as found, httpx.Client(
            base_url=found.url, trust_env=False) as client:
        picture = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
        link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
        for headers in (picture, link):
            wrong = [client.get("/v1/tasks", params={"token": n}, headers=headers) for n in range(20)]
            assert {(answer.status_code, answer.json()["code"]) for answer in wrong} == {(403, "origin")}
        assert client.get("/v1/tasks", params={"token": TOKEN}, headers=picture).status_code == 403
        assert client.get("/v1/tasks", params={"token": TOKEN}, headers=link).status_code == 200
        for own in ("same-origin", "none"):
            headers = {"authorization": f"Bearer {TOKEN}", "sec-fetch-site": own, "sec-fetch-mode": "cors"}
            assert client.get("/v1/tasks", headers=headers).status_code == 200
        answers = [client.get("/v1/tasks", params={"token": n}, headers={"sec-fetch-site": "none"}) for n in range(12)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2      # the user's own are counted


def test_pages_of_other_servers(server: Running, jpeg: bytes) -> None:
    with server.client() as client:
        evil = {"origin": "http://evil.example", "content-type": "image/jpeg"}
        assert client.post("/v1/detect", content=jpeg, headers=evil).json()["code"] == "origin"
        for origin in ("null", "http://[::1", "//", "http://"):
            assert client.post("/v1/detect", content=jpeg, headers={**evil, "origin": origin}).status_code == 403
        rebound = client.get("/v1/tasks", headers={"host": "evil.example:80"})
        assert (rebound.status_code, rebound.json()["code"]) == (421, "host")
        answer = client.get("/v1/tasks", headers={"origin": "http://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        assert client.options("/v1/detect", headers={
            "origin": "http://evil.example", "access-control-request-method": "POST"}).status_code == 405
        own = {"origin": server.url, "content-type": "image/jpeg"}
        assert client.post("/v1/detect", content=jpeg, headers=own).status_code == 200
    with pytest.raises(InvalidStatus) as refused:
        connect(server.stream, proxy=None, origin="http://evil.example")
    assert refused.value.response.status_code == 403
    with connect(server.stream, proxy=None, origin=server.url):
        pass


def test_headers_of_every_answer(guarded_server: Running) -> None:
    with guarded_server.client() as client:
        for path in ("/", "/v1/tasks", "/nothing", "/docs", "/healthz"):
            answer = client.get(path)
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert client.get("/v1/tasks", headers={"authorization": "x"}).headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in HEADERS["content-security-policy"]
    assert "script-src 'self';" in HEADERS["content-security-policy"]


@pytest.mark.parametrize("path", [
    "/../secret.py", "/..%2fsecret.py", "/%2e%2e/secret.py", "/....//secret.py", "//etc/passwd", "/..\\secret.py",
    "/%00", "/page/../../secret.py", "/v1/../../../etc/passwd", "/v1/jobs/..%2f..%2fetc%2fpasswd", "/link",
])
def test_no_path_of_the_server_is_readable(guarded_server: Running, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    answer = raw(guarded_server, head.encode())
    assert answer.split()[1] in (b"400", b"404")
    assert b"running" not in answer
    assert b"root:" not in answer


def test_bodies_that_are_too_large_or_too_slow(guarded_server: Running, jpeg: bytes) -> None:
    head = (f"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Type: image/jpeg\r\n")
    for kind in ("image/jpeg", "Image/JPEG", " IMAGE/png ; q=1", "image/jpeg\r\nContent-Type: video/mp4"):
        said = raw(guarded_server, f"{head.replace('image/jpeg', kind)}Content-Length: 200001\r\n\r\n".encode())
        assert b" 413 " in said
        assert b"at most 200000 bytes" in said
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + 4 * chunk
    assert b" 413 " in raw(guarded_server, chunked)
    began = time.monotonic()
    assert b" 408 " in raw(guarded_server, f"{head}Content-Length: 1000\r\n\r\n".encode() + b"x" * 200, pause=0.2)
    assert time.monotonic() - began < 8
    video = head.replace("image/jpeg", "video/mp4")
    assert b" 413 " in raw(guarded_server, f"{video}Content-Length: 300001\r\n\r\n".encode())
    assert not list(guarded_server.service.folder.iterdir())


def test_heads_that_are_too_large_or_too_slow(guarded_server: Running) -> None:
    huge = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 4000) for n in range(200))
    assert b" 431 " in raw(guarded_server, huge)
    head = b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 40000\r\nX: %s\r\n\r\n"
    for length, status in ((30_000, b" 401 "), (33_000, b" 431 "), (60_000, b" 431 ")):      # in one piece
        assert raw(guarded_server, head % (b"x" * length) + b"y" * 40_000).count(b"HTTP/1.1") == 1
        assert status in raw(guarded_server, head % (b"x" * length) + b"y" * 40_000)
    assert b" 431 " in raw(guarded_server, b"GET /" + b"x" * 500_000)
    began = time.monotonic()
    assert b" 408 " in raw(guarded_server, b"GET / HTTP/1.1\r\n")
    assert b" 408 " in raw(guarded_server, b"")
    assert time.monotonic() - began < 8
    for garbage in (b"\x16\x03\x01\x02\x00\x01", b"\r\n\r\n\r\n", b"HELO example\r\n\r\n", bytes(range(256)) * 10):
        assert raw(guarded_server, garbage).split()[1] in (b"400", b"408")


def test_five_hundred_connections(guarded_server: Running, jpeg: bytes) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", guarded_server.port))) for _ in range(500)]
        refused = 0
        for connection in held[40:]:
            connection.settimeout(5)
            with suppress(OSError):
                refused += b" 429 " in connection.recv(4096)
        assert refused >= 400
    until(lambda: _answers(guarded_server), 10)
    with guarded_server.client() as client:
        assert client.post("/v1/classify", content=jpeg, headers={"content-type": "image/jpeg"}).status_code == 200


def _answers(server: Running) -> bool:
    with suppress(httpx.HTTPError), server.client() as client:
        return client.get("/healthz").status_code == 200
    return False


def test_idle_connections_are_let_go(guarded_server: Running) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", guarded_server.port))) for _ in range(20)]
        until(lambda: _answers(guarded_server), 8)       # they had half of the places, and said nothing
        assert held[0].recv(100).startswith(b"HTTP/1.1 408")


def test_more_requests_than_are_taken(guarded_server: Running) -> None:
    time.sleep(2)
    with guarded_server.client() as client:
        answers = [client.get("/v1/tasks").status_code for _ in range(160)]
        assert answers[:20] == [200] * 20
        assert 429 in answers
        time.sleep(0.5)
        assert client.get("/v1/tasks").status_code == 200


def test_an_answer_is_not_held_back(server: Running) -> None:
    with server.client() as client:
        took = []
        for _ in range(20):
            began = time.monotonic()
            assert client.get("/healthz").status_code == 200
            took.append(time.monotonic() - began)
    assert sorted(took)[5] < 0.03                        # not by 40 ms, as where TCP waits for more to send


def test_more_messages_than_are_taken(server: Running) -> None:
    codes = []
    with connect(server.stream, proxy=None, compression=None, max_queue=None) as stream:
        with suppress(ConnectionClosed):                 # the server ends it somewhere on the way
            for _ in range(3000):
                stream.send("x")
        with suppress(ConnectionClosed):
            while True:
                codes.append(json.loads(stream.recv(10))["code"])
    assert codes[-1] == "rate"
    assert len(codes) < 2000


def test_a_message_larger_than_any_picture(server: Running) -> None:
    service_visitors = server.service.seats.taken
    with connect(server.stream, proxy=None, compression=None, max_size=None) as stream, suppress(Exception):
        stream.send(struct.pack("<d", 0) + b"x" * (40 << 20))
        stream.recv(10)
    assert server.service.seats.taken == service_visitors
    assert _answers(server)


def test_workers_survive_everything_and_a_stall_is_told() -> None:
    turns = Turns(2, 10)
    gate = threading.Event()
    for wrong in (KeyboardInterrupt, SystemExit, MemoryError, ValueError):
        with pytest.raises(wrong):
            turns.submit("a", lambda wrong=wrong: _raise(wrong)).result(5)
    assert turns.submit("a", lambda: 5).result(5) == 5
    assert turns.stalled(5) == ""
    stuck = [turns.submit("a", gate.wait) for _ in range(2)]
    until(lambda: all(one.running() for one in stuck))
    line = [turns.submit("b", lambda: 1)]
    until(lambda: turns.stalled(0.05))
    assert "have not moved" in turns.stalled(0.05)
    line += [turns.submit("b", lambda: 1) for _ in range(4)]
    with pytest.raises(Busy, match="busy, 5 ahead"):
        turns.submit("b", lambda: 1)                     # half of the places
    line += [turns.submit("c", lambda: 1) for _ in range(5)]
    with pytest.raises(Busy, match="busy, 10 ahead"):
        turns.submit("d", lambda: 1)
    gate.set()
    assert [one.result(5) for one in [*stuck, *line]] == [True, True] + [1] * 10
    until(lambda: turns.stalled(0.05) == "")
    turns.close()


def _raise(error: type[BaseException]) -> None:
    raise error


def test_turns_go_round() -> None:
    turns, order, gate = Turns(1, 100), list[str](), threading.Event()
    turns.submit("first", gate.wait)
    for client, count in (("greedy", 6), ("a", 2), ("b", 2)):
        for _ in range(count):
            turns.submit(client, lambda client=client: order.append(client))
    gate.set()
    until(lambda: len(order) == 10)
    assert order == ["greedy", "a", "b", "greedy", "a", "b", "greedy", "greedy", "greedy", "greedy"]
    turns.close()


def test_a_stall_fails_the_health_check(jpeg: bytes) -> None:
    service = Service(["classify"], limits=Limits(stall=0.2, timeout=1))
    with running(service) as server, server.client() as client:
        assert client.get("/healthz").json() == {"state": "well"}
        gate = threading.Event()
        for _ in range(service.turns.workers):
            service.turns.submit("stuck", gate.wait)
        until(lambda: client.get("/healthz").status_code == 503)
        late = client.post("/v1/classify", content=jpeg, headers={"content-type": "image/jpeg"})
        assert (late.status_code, late.json()["code"]) == (503, "busy")
        gate.set()
        until(lambda: client.get("/healthz").status_code == 200)


def test_a_failed_start_is_told() -> None:
    service = Service(["classify"], ["no-such-model"])
    with running(service, ready=False) as server, server.client() as client:
        until(lambda: service.failure is not None)
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "failed")
        assert "no-such-model" in answer.json()["error"]
        assert client.get("/healthz").status_code == 503


def test_a_certificate_is_made_once_for_this_machine(tmp_path: Path) -> None:
    files = certificate("10.9.8.7", tmp_path / "tls")
    assert files == certificate("10.9.8.7", tmp_path / "tls")
    first = files[0].read_bytes()
    assert files[1].stat().st_mode & 0o777 == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    trusting = ssl.create_default_context(cafile=str(files[0]))
    here, there = socket.socketpair()
    with here, there:
        thread = threading.Thread(target=lambda: context.wrap_socket(here, server_side=True).send(b"hello"))
        thread.start()
        assert trusting.wrap_socket(there, server_hostname="10.9.8.7").recv(10) == b"hello"
        thread.join()
    certificate("another.example", tmp_path / "tls")
    assert files[0].read_bytes() != first                # it is for another name too


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    own = certificate("127.0.0.1", tmp_path)
    other = certificate("127.0.0.1", tmp_path / "other")
    assert checked(own) == own
    for files, said in (((tmp_path / "nope.pem", own[1]), "nope.pem' is not there"),
                        ((own[1], own[0]), "no certificate and its key"), ((own[0], other[1]), "MISMATCH")):
        with pytest.raises(UsageError, match=said):
            checked(files)
    own[1].write_bytes(b"")                              # a disk was full
    assert checked(certificate("127.0.0.1", tmp_path)) == own
    with ThreadPoolExecutor(8) as pool:                  # first starts at once
        made = list(pool.map(lambda n: certificate("127.0.0.1", tmp_path / f"tls-{n // 4}"), range(16)))
    for files in made:
        checked(files)


def test_who_goes_in_the_middle_of_a_request_is_no_failure_of_the_server(
    server: Running, jpeg: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def counted() -> dict[str, float]:
        with server.client() as client:
            lines = [line.split() for line in client.get("/metrics").text.splitlines() if "requests_total{" in line]
        return {name: float(value) for name, value in lines}

    before, files = counted(), set(server.service.folder.iterdir())
    part = b'--b\r\nContent-Disposition: form-data; name="picture"; filename="a.jpg"\r\n\r\n'
    for path, kind, begins in (("detect", "image/jpeg", b""), ("detect", "video/mp4", b""), ("jobs", "video/mp4", b""),
                               ("detect", "multipart/form-data; boundary=b", part)):
        head = f"POST /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 90000\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head.encode() + begins + jpeg[:3000])
            time.sleep(0.1)
    until(lambda: sum(counted().values()) >= sum(before.values()) + 3)
    more = {name: count - before.get(name, 0.0) for name, count in counted().items() if count != before.get(name)}
    assert list(more.values()) == [3.0], more
    assert "499" in next(iter(more))
    assert not caplog.records
    until(lambda: set(server.service.folder.iterdir()) == files)


def test_the_layer_is_the_outermost() -> None:
    from vision.serve.app import create_app

    service = Service(["classify"])
    try:
        assert create_app(service).user_middleware[0].cls is Safety
    finally:
        service.close()
