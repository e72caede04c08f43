"""The page in a real browser: its boxes stand where the people are; it switches, takes files, and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import uvicorn
from browser import browsing, extent, film, pixels, recorded, until
from portrait import portrait
from serving import Running, running

from vision import Detect
from vision.boxes import iou
from vision.drawing import colour
from vision.masks import packed, run_lengths
from vision.people import body, hand, mesh
from vision.serve.app import PAGE, create_app
from vision.serve.connections import guarded
from vision.serve.launch import listen
from vision.serve.service import Service
from vision.steps import Pool

PERSON = tuple(colour(0)[::-1])                          # RGB of boxes of COCO's class `person`
SHOWN = "document.getElementById('canvas').dataset.frame"
PERSON_SEEN = "document.getElementById('canvas').ariaLabel.includes('1 person')"


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person who sways a little."""
    image, folder = portrait(), tmp_path_factory.mktemp("camera")
    sway = [np.roll(image, shift, axis=1) for shift in (0, 0, 1, 1, 2, 2, 1, 1)]
    return film(folder / "camera.mjpeg", sway * 4)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(Service(lazy=True), page=PAGE, hosts=None) as one:
        yield one


@pytest.fixture(scope="module")
def person() -> list[float]:
    """Where the detector sees the person, of 640x480."""
    with Pool() as pool:
        model = Detect().load(pool)
        found = model(portrait())
        return found.boxes[found.labels == 0][0].tolist()


def there(image: np.ndarray, box: list[float], mirror: bool = False) -> bool:
    """Whether a box of a class's colour stands at `box`, of a picture 640 wide, on the canvas: their overlap is 0.88 or
    more (a few rows of boxes differ by what JPEG makes of the picture)."""
    found = extent(image, PERSON)
    if found is None:
        return False
    left, top, right, bottom = (side * image.shape[1] / 640 for side in box)
    if mirror:
        left, right = image.shape[1] - right, image.shape[1] - left
    return float(iou(np.float32([found]), np.float32([[left, top, right, bottom]]))[0, 0]) >= 0.88


def test_boxes_stand_where_the_person_is(server: Running, camera: Path, person: list[float], tmp_path: Path) -> None:
    with browsing(camera, accept_downloads=True) as page:
        began = time.monotonic()
        page.goto(f"{server.url}/?do=detect")
        until(page, SHOWN)
        assert time.monotonic() - began < 6                              # 3 s on an idle machine, by its clock
        assert there(pixels(page), person, mirror=True)

        page.keyboard.press("m")
        until(page, "document.getElementById('mirror').getAttribute('aria-pressed') === 'false'")
        page.wait_for_timeout(500)
        assert there(pixels(page), person)
        assert until(page, "document.querySelector('#seen b')?.textContent") == "1"
        assert "person" in page.inner_text("#seen")

        lines = recorded(page, tmp_path / "records.jsonl", 700)
        assert len(lines) >= 2
        assert {line["kind"] for line in lines} == {"frame"}
        assert lines[0]["detect"]["objects"][0]["box"] == pytest.approx(person, abs=25)
        with page.expect_download() as got:
            page.keyboard.press("w")
        got.value.save_as(tmp_path / "snapshot.png")
        assert there(np.asarray(cv2.imread(str(tmp_path / "snapshot.png")), np.uint8), person)

        page.uncheck("#seen input")                                      # a class is hidden
        page.wait_for_timeout(600)
        assert extent(pixels(page), PERSON) is None
        assert page.wrong == []


@pytest.mark.slow
def test_the_plan_is_switched_while_it_runs(server: Running, camera: Path) -> None:
    with browsing(camera) as page:
        page.goto(f"{server.url}/?do=detect")
        until(page, SHOWN)
        page.keyboard.press("f")
        until(page, "document.getElementById('seen').innerText.includes('face')", 30)
        assert page.get_attribute("#task-faces", "aria-pressed") == "true"
        assert page.get_attribute("#task-detect", "aria-pressed") == "false"
        page.keyboard.press("Shift+T")                                   # together
        until(page, "['person', 'face'].every(w => document.getElementById('seen').innerText.includes(w))", 30)
        page.click("#task-faces")
        page.click("#task-track")                                        # one is always on
        assert page.get_attribute("#task-track", "aria-pressed") == "true"
        page.click("#options-detect summary")
        page.fill("#options-detect input[type=range]", "0.99")           # no box is that sure
        until(page, "document.querySelector('#seen-none').hidden === false", 30)
        page.wait_for_timeout(1000)                                      # the boxes before are not counted again
        assert page.inner_text("#seen") == ""
        assert page.wrong == []


@pytest.mark.slow
def test_every_task_is_drawn(server: Running, camera: Path) -> None:
    shares = {"instances": 0.05, "segment": 0.05, "pose": 0.003, "action": 0.003, "classify": 0.005}
    with browsing(camera) as page:
        page.goto(f"{server.url}/?do=detect")
        until(page, SHOWN)
        for task, least in shares.items():
            page.click(f"#task-{task}")                                  # it alone: it is added, and the other goes
            page.click("#task-chips button[aria-pressed=true]:not(#task-" + task + ")")
            until(page, f"document.getElementById('options').innerText.startsWith('{task}')")
            until(page, f"document.querySelector('#options-{task} summary .small').textContent", 40)
            end, changed = time.monotonic() + 15, 0.0
            while changed <= least and time.monotonic() < end:           # of pixels, from the picture alone
                page.wait_for_timeout(300)
                with_it = pixels(page)
                plain = cv2.resize(portrait(), with_it.shape[1::-1])[:, ::-1]
                changed = (np.abs(with_it.astype(int) - plain).max(axis=2) > 60).mean()
            assert least < changed < 0.9, task
        assert page.wrong == []


@pytest.mark.slow
def test_a_picture_and_a_video_are_dropped(server: Running, camera: Path, person: list[float], tmp_path: Path) -> None:
    from vision import VideoWriter

    cv2.imwrite(str(tmp_path / "person.png"), portrait())
    with VideoWriter(tmp_path / "person.mp4") as out:
        for n in range(30):
            out.write(portrait(), n / 15)
    with browsing(camera, permissions=[]) as page:
        page.goto(f"{server.url}/?do=detect")
        page.wait_for_selector("#use-file")
        drop(page, tmp_path / "person.png", "image/png")
        until(page, SHOWN)
        page.wait_for_timeout(1700)                                      # its boxes had gone after a second
        assert there(pixels(page), person)
        page.keyboard.press("d")                                         # the same picture, looked at again
        before = page.evaluate(SHOWN)
        drop(page, tmp_path / "person.mp4", "video/mp4")
        until(page, f"{SHOWN} > {int(before) + 5}")
        assert page.is_visible("#seek")
        assert there(pixels(page), person)
        (tmp_path / "notes.txt").write_text("no picture")
        drop(page, tmp_path / "notes.txt", "text/plain")
        until(page, "document.getElementById('start-text').textContent.includes('neither a picture nor a video')")
        assert page.wrong == []


@pytest.mark.slow
def test_a_camera_of_the_server_is_watched(camera: Path, person: list[float], tmp_path: Path) -> None:
    """A file that plays one, again and again: tracks go on where it begins anew."""
    from vision import VideoWriter

    with VideoWriter(tmp_path / "person.mp4") as out:
        for n in range(20):
            out.write(portrait(), n / 10)
    service = Service(["detect", "track"], cameras=[str(tmp_path / "person.mp4")])
    with running(service, page=PAGE) as server, browsing(camera, permissions=[]) as page:
        page.goto(f"{server.url}/?do=detect&source=camera:0")
        until(page, SHOWN)
        assert there(pixels(page), person)
        page.keyboard.press("t")
        until(page, "document.getElementById('options-track')")
        page.wait_for_timeout(4500)                                      # it has begun anew
        assert not page.is_visible("#notice"), page.inner_text("#notice")
        assert page.wrong == []


@pytest.mark.slow
def test_what_was_seen_goes_with_its_picture(server: Running, camera: Path, tmp_path: Path) -> None:
    """A file that cannot be read, one that breaks off, an answer that comes too late: nothing stays of the picture
    before."""
    from vision import VideoWriter

    cv2.imwrite(str(tmp_path / "person.jpg"), portrait())
    (tmp_path / "empty.jpg").touch()
    with VideoWriter(tmp_path / "whole.mp4") as out:
        for n in range(60):
            out.write(np.roll(portrait(), 5 * n, axis=1), n / 15)
    whole = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "broken.mp4").write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    (tmp_path / "text.mp4").write_text("no video")
    held: list[tuple[Any, Any]] | None = None                            # answers that are kept back, and their way

    def between(socket: Any) -> None:
        def answer(message: Any) -> None:
            if held is not None and '"record"' in message:
                held.append((socket, message))
            else:
                socket.send(message)

        socket.connect_to_server().on_message(answer)

    with browsing(camera, permissions=[]) as page:
        page.route_web_socket("**/v1/stream", between)
        page.goto(f"{server.url}/?do=detect")
        page.wait_for_selector("#task-detect")
        for name, kind, why in (("empty.jpg", "image/jpeg", "neither a picture nor a video"),
                                ("text.mp4", "video/mp4", "cannot be played"), ("broken.mp4", "video/mp4", "damaged")):
            drop(page, tmp_path / "person.jpg", "image/jpeg")
            until(page, PERSON_SEEN)
            drop(page, tmp_path / name, kind)
            until(page, f"document.getElementById('start-text').textContent.includes('{why}')")
            nothing_seen(page)
            assert not page.is_visible("#meters, #seek")
            assert page.is_disabled("#snapshot")
            assert page.input_value("#source") == ""
        held = []
        drop(page, tmp_path / "person.jpg", "image/jpeg")
        while not held:
            page.wait_for_timeout(30)
        drop(page, tmp_path / "empty.jpg", "image/jpeg")
        until(page, "document.getElementById('start-text').textContent.includes('empty.jpg')")
        for socket, message in held:
            socket.send(message)
        nothing_seen(page)
        assert page.wrong == []


def nothing_seen(page: Any) -> None:
    """No results, and no picture, are on the page, nor do they come."""
    page.wait_for_timeout(600)
    assert page.inner_text("#seen") == page.inner_text("#spoken") == ""
    assert page.is_visible("#seen-none")
    assert page.get_attribute("#canvas", "aria-label") == "No picture yet"
    assert not pixels(page).any()


@pytest.mark.slow
def test_what_was_seen_goes_with_a_camera_of_the_server(camera: Path, tmp_path: Path) -> None:
    """One that is not there, one that is taken away, and one that the server has no more after it came back."""
    from vision import VideoWriter

    cv2.imwrite(str(tmp_path / "person.jpg"), portrait())
    for name in ("goes", "stays"):
        with VideoWriter(tmp_path / f"{name}.mp4") as out:
            for n in range(20):
                out.write(portrait(), n / 10)
    with stoppable() as (port, start, stop), browsing(camera, permissions=[]) as page:
        start([str(tmp_path / f"{name}.mp4") for name in ("never", "goes", "stays")])
        page.goto(f"http://127.0.0.1:{port}/?do=detect")
        page.wait_for_selector("#task-detect")
        drop(page, tmp_path / "person.jpg", "image/jpeg")
        until(page, PERSON_SEEN)
        page.select_option("#source", "camera:0")
        until(page, "document.getElementById('notice').textContent.includes('never.mp4')")
        nothing_seen(page)
        page.select_option("#source", "camera:1")
        until(page, PERSON_SEEN)
        (tmp_path / "goes.mp4").unlink()
        until(page, "document.getElementById('notice').textContent.includes('goes.mp4')")
        page.wait_for_timeout(2500)                                      # it is tried again, and its last picture goes
        nothing_seen(page)
        page.select_option("#source", "camera:2")
        until(page, PERSON_SEEN)
        stop()
        start()
        until(page, "document.getElementById('start-text').textContent.includes('no more')", 30)
        nothing_seen(page)


@pytest.mark.slow
def test_the_seek_bar_is_within_the_picture(server: Running, camera: Path, tmp_path: Path) -> None:
    from vision import VideoWriter

    with VideoWriter(tmp_path / "person.mp4") as out:
        for n in range(15):
            out.write(portrait(), n / 15)
    with browsing(camera, permissions=[]) as page:
        page.goto(server.url)
        page.wait_for_selector("#task-detect")
        drop(page, tmp_path / "person.mp4", "video/mp4")
        page.wait_for_selector("#seek")
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 720})
            stage, seek = (page.locator(one).bounding_box() for one in ("#stage", "#seek"))
            assert seek["x"] - stage["x"] == pytest.approx(16)
            assert seek["width"] == pytest.approx(stage["width"] - 32)


@pytest.mark.parametrize("width", [320, 360, 375])
def test_a_narrow_phone_holds_the_page(server: Running, camera: Path, width: int) -> None:
    """Whatever the connection is said to be; its buttons are large enough for a finger."""
    phone = {"is_mobile": True, "has_touch": True, "viewport": {"width": width, "height": 640}}
    with browsing(camera, permissions=[], **phone) as page:
        page.goto(server.url)
        page.wait_for_selector("#task-detect")
        for said in ("connected", "loading instances", "busy: 12 ahead", "the server is not there"):
            page.evaluate("(said) => { document.getElementById('link-text').textContent = said; }", said)
            assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width], said
            for place in (page.locator(one).bounding_box() for one in ("#link", "#theme", "#help")):
                assert place["x"] >= 0
                assert place["x"] + place["width"] <= width
        for button in page.query_selector_all("button:visible"):
            place = button.bounding_box()
            assert min(place["width"], place["height"]) >= 48, button.inner_text()


def drop(page: Any, path: Path, kind: str) -> None:
    """Drop a file on the page."""
    held = page.evaluate_handle(
        """([bytes, name, type]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
          return transfer;
        }""", [list(path.read_bytes()), path.name, kind])
    page.dispatch_event("body", "drop", {"dataTransfer": held})


@pytest.mark.slow
def test_the_server_is_stopped_and_comes_back(camera: Path) -> None:
    with stoppable() as (port, start, stop), browsing(camera) as page:
        start()
        page.goto(f"http://127.0.0.1:{port}/?do=detect")
        until(page, SHOWN)
        stop()
        until(page, "document.getElementById('link').dataset.state === 'lost'")
        assert "The server is not there" in page.inner_text("#notice")
        page.wait_for_timeout(500)
        for _ in range(30):                                              # the camera goes on, without results
            page.wait_for_timeout(200)
            if extent(pixels(page), PERSON) is None:
                break
        else:
            raise AssertionError("old boxes stay")
        start()
        until(page, "document.getElementById('link').dataset.state === 'open'", 30)
        page.evaluate("delete document.getElementById('canvas').dataset.frame")
        until(page, SHOWN, 30)
        assert extent(pixels(page), PERSON) is not None
        assert not page.is_visible("#notice")


@pytest.mark.slow
def test_another_token_is_told_and_not_tried_again(camera: Path) -> None:
    with stoppable() as (port, start, stop), browsing(camera) as page:
        tried: list[str] = []
        page.on("websocket", lambda socket: tried.append(socket.url))
        start(token="one")
        page.goto(f"http://127.0.0.1:{port}/?do=detect&token=one")
        until(page, SHOWN)
        stop()
        start(token="two")
        until(page, "document.getElementById('notice').textContent.includes('wants a token')", 30)
        assert page.inner_text("#link-text") == "the server refuses"
        before = len(tried)
        page.wait_for_timeout(4000)
        assert len(tried) == before
        assert page.is_visible("#notice")


@pytest.mark.slow
def test_a_picture_that_met_a_busy_server_is_sent_again(server: Running, camera: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "person.jpg"), portrait())
    refused: list[bytes] = []

    def between(socket: Any) -> None:
        further = socket.connect_to_server()

        def asked(message: Any) -> None:
            if isinstance(message, bytes) and len(refused) < 2:
                refused.append(message)
                socket.send('{"wait": {"ahead": 3}}')
            else:
                further.send(message)

        socket.on_message(asked)

    with browsing(camera, permissions=[]) as page:
        page.route_web_socket("**/v1/stream", between)
        page.goto(f"{server.url}/?do=detect")
        page.wait_for_selector("#task-detect")
        drop(page, tmp_path / "person.jpg", "image/jpeg")
        until(page, PERSON_SEEN)
        assert [one[8:] == refused[0][8:] for one in refused] == [True, True]
        assert not page.is_visible("#notice")
        assert page.wrong == []


@contextmanager
def stoppable() -> Iterator[tuple[int, Any, Any]]:
    """A port, and what starts and stops a server there."""
    import threading

    free = listen("127.0.0.1", 0)
    port = free.getsockname()[1]
    free.close()
    under_way: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(cameras: Sequence[str] = (), token: str = "") -> None:
        service = Service(["detect"], cameras=cameras)
        listening = listen("127.0.0.1", port)
        server = uvicorn.Server(uvicorn.Config(
            create_app(service, page=PAGE, token=token), http=guarded(service.limits), ws="websockets-sansio",
            log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        under_way.append((server, thread))

    def stop() -> None:
        while under_way:
            server, thread = under_way.pop()
            server.should_exit = True
            thread.join(30)

    try:
        yield port, start, stop
    finally:
        stop()


@pytest.mark.slow
def test_without_a_camera_the_page_says_why(server: Running, camera: Path) -> None:
    with browsing(camera) as page:
        page.goto(f"http://camera.test:{server.port}/")                  # plain HTTP on a network
        assert "--tls" in until(page, "document.getElementById('start-text').textContent.includes('tls') && "
                                      "document.getElementById('start-text').textContent")
        assert page.is_disabled("#use-camera")
        assert page.is_enabled("#use-file")
    with browsing(camera, allowed=False) as page:
        page.goto(server.url)
        page.click("#use-camera")
        until(page, "document.getElementById('start-text').textContent.includes('not allowed')")


@pytest.mark.slow
def test_axe_finds_nothing_serious(server: Running, camera: Path) -> None:
    """In both themes, on a wide screen and on a phone, where one thumb reaches all buttons."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with browsing(camera, color_scheme="light", has_touch=True) as page:
        page.goto(f"{server.url}/?do=detect")
        until(page, SHOWN)
        for theme, width in (("light", 1280), ("dark", 1280), ("dark", 390), ("light", 390)):
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size({"width": width, "height": 844})
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.dataset.theme") == theme
            found = axe.run(page).response["violations"]
            serious = [one for one in found if one["impact"] in ("serious", "critical")]
            assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == [], (theme, width)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")     # nothing is beside it
        for one in ("pause", "mirror", "record", "snapshot"):
            place = page.locator(f"#{one}").bounding_box()
            assert place["height"] >= 48
            assert place["width"] >= 48
            assert place["y"] > 844 * 0.8


def test_masks_and_shapes_are_those_of_python(server: Running, camera: Path) -> None:
    """The page reads COCO's text, and draws the same lines as the command line does."""
    rng = np.random.default_rng(0)
    masks = [cv2.blur(rng.random((37, 53)), (k, k)) > 0.5 for k in (1, 3, 9)]
    runs = [run_lengths(mask) for mask in masks]
    with browsing(camera) as page:
        page.goto(server.url)
        ours = page.evaluate("(texts) => import('/masks.js').then(({ runsOf }) => texts.map(runsOf))",
                             [packed(one) for one in runs])
        assert ours == runs
        tinted = page.evaluate("""async (counts) => {
          const { tint } = await import('/masks.js');
          const image = new ImageData(53, 37);
          tint(image, { size: [37, 53], counts }, [255, 0, 0], 200);
          return [...image.data].filter((_, k) => k % 4 === 3);
        }""", packed(runs[1]))
        assert (np.array(tinted).reshape(37, 53) == 200 * masks[1]).all()
        shapes = page.evaluate("import('/shapes.js').then((all) => ({ ...all }))")
    assert shapes["PALETTE"] == [list(colour(k)[::-1]) for k in range(10)]
    assert shapes["FACE_LINES"] == [[list(line), closed] for line, closed in mesh.OUTLINES]
    assert shapes["IRISES"] == [list(mesh.RIGHT_IRIS), list(mesh.LEFT_IRIS)]
    assert shapes["BONES"] == [list(bone) for bone in body._BONES]
    assert shapes["HAND_BONES"] == [list(bone) for bone in hand._BONES]
