"""Lines, zones and boxes that a visitor draws on the page, and people whom a visitor names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browsing, film, pixels, recorded, until
from portrait import portrait
from serving import Running, running

from vision.serve.app import PAGE
from vision.serve.service import Service

SHOWN = "document.getElementById('canvas').dataset.frame"
YELLOW = (0, 212, 255)                                   # BGR of what is drawn
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(Service(["track", "count", "follow", "faces", "identify"], lazy=True), page=PAGE) as one:
        yield one


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person who stays."""
    return film(tmp_path_factory.mktemp("still") / "camera.mjpeg", [portrait()] * 30)


@pytest.fixture(scope="module")
def walker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person who passes from the left to the right, then nobody, again and again."""
    person, frames = portrait((320, 240)), []
    for x in range(0, 321, 3):
        frame = np.full((480, 640, 3), 120, np.uint8)
        frame[200:440, x : x + 320] = person
        frames.append(frame)
    empty = [np.full((480, 640, 3), 120, np.uint8)] * 75
    return film(tmp_path_factory.mktemp("walker") / "camera.mjpeg", frames + empty)


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one place on the canvas to another, in shares of it."""
    left, top, width, height = page.locator("#canvas").bounding_box().values()
    page.mouse.move(left + start[0] * width, top + start[1] * height)
    page.mouse.down()
    for share in (0.3, 0.7, 1.0):
        page.mouse.move(left + (start[0] + share * (end[0] - start[0])) * width,
                        top + (start[1] + share * (end[1] - start[1])) * height)
    page.mouse.up()


def only(page: Any, task: str) -> None:
    """Have one task alone."""
    page.click(f"#task-{task}")
    for other in page.query_selector_all(f"#task-chips button[aria-pressed=true]:not(#task-{task})"):
        other.click()


def follow_box(page: Any) -> None:
    """Draw a box on the person, and wait until what is in it is followed."""
    only(page, "follow")
    page.click("#draw-box")
    drag(page, (0.35, 0.2), (0.6, 0.6))                                  # of a mirror: 0.4 to 0.65 of the picture
    until(page, "document.getElementById('seen').innerText.includes('target')")


def yellow(page: Any) -> np.ndarray:
    """(H,W) bool: where something that was drawn stands."""
    return np.asarray((np.abs(pixels(page).astype(int) - YELLOW) < 20).all(axis=2))


def test_who_crosses_a_line_is_counted(server: Running, walker: Path) -> None:
    with browsing(walker) as page:
        page.goto(f"{server.url}/?do=count")
        until(page, SHOWN)                                               # tracks already, without a line
        assert page.is_visible("#tool-count")
        page.click("#draw-line")
        assert "Drag a line" in page.inner_text("#notice")
        drag(page, (0.5, 0.05), (0.5, 0.95))
        assert not page.is_visible("#notice")
        until(page, "document.getElementById('totals').innerText.startsWith('line 1')")
        page.wait_for_timeout(300)
        column = yellow(page).sum(axis=0)
        assert column.argmax() == pytest.approx(column.size / 2, abs=4)
        assert column.max() > 0.6 * yellow(page).shape[0]
        said = until(page, r"/left [1-9]/.test(document.getElementById('totals').innerText) && "
                           "document.getElementById('totals').innerText", 45)
        assert "right 0" in said                                         # who looks along the line sees them go left
        page.click("#take-back")
        until(page, "document.getElementById('totals').innerText === ''")
        page.click("#draw-zone")                                         # by keys: from the middle to the right
        page.keyboard.press("Enter")
        for key in ["Shift+ArrowRight"] * 4 + ["Shift+ArrowDown"] * 5:
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        assert "zone 1" in until(page, r"/in [1-9]/.test(document.getElementById('totals').innerText) && "
                                       "document.getElementById('totals').innerText", 45)
        assert page.wrong == []


def test_what_is_in_a_box_is_followed(server: Running, still: Path, tmp_path: Path) -> None:
    with browsing(still, accept_downloads=True) as page:
        page.goto(f"{server.url}/?do=detect")
        until(page, SHOWN)
        only(page, "follow")
        page.click("#draw-box")
        page.keyboard.press("Escape")
        assert page.get_attribute("#draw-box", "aria-pressed") == "false"
        follow_box(page)
        lines = recorded(page, tmp_path / "records.jsonl", 1200)
        assert len(lines) >= 2
        for line in lines:
            assert set(line) & {"detect", "track"} == set()
            assert line["follow"]["objects"][0]["box"] == pytest.approx([256, 96, 416, 288], abs=8)
        assert page.wrong == []


def test_a_plan_that_is_refused_leaves_the_one_before(server: Running, still: Path) -> None:
    """The vit's weights are not there; what ran goes on."""
    with browsing(still) as page:
        page.goto(f"{server.url}/?do=detect")
        until(page, SHOWN)
        follow_box(page)
        page.click("#options-follow summary")
        page.select_option("#options-follow select", "vit")
        until(page, "document.getElementById('notice').textContent.includes('does not have the weights')")
        frame = int(page.evaluate(SHOWN))
        until(page, f"{SHOWN} > {frame + 3}")


def test_the_picture_of_a_box_is_sent_again_to_a_busy_server(server: Running, still: Path, tmp_path: Path) -> None:
    sent: list[bytes] = []
    plans: list[str] = []

    def between(socket: Any) -> None:
        further = socket.connect_to_server()

        def asked(message: Any) -> None:
            if isinstance(message, str):
                plans.append(message)
            elif "box" in plans[-1]:
                sent.append(message)
                if len(sent) < 3:
                    socket.send('{"wait": {"ahead": 3}}')
                    return
            further.send(message)

        socket.on_message(asked)

    with browsing(still) as page:
        page.route_web_socket("**/v1/stream", between)
        page.goto(f"{server.url}/?do=detect")
        until(page, SHOWN)
        follow_box(page)
        until(page, "document.getElementById('canvas').dataset.frame > 2")
        assert [one == sent[0] for one in sent[:4]] == [True, True, True, False]
        assert page.wrong == []


def test_who_is_named_is_known(server: Running, still: Path) -> None:
    with browsing(still) as page:
        page.goto(f"{server.url}/?do=faces")
        until(page, "document.getElementById('seen').innerText.includes('face')", 40)
        page.click("#task-identify")
        page.click("#tool-identify button")
        assert page.inner_text("#enrolled") == "Say first whose face it is."
        page.fill("#person", "Eileen: NASA")                             # a name may have a colon
        page.keyboard.press("Enter")
        until(page, "document.getElementById('enrolled').innerText.includes('is known')", 40)
        until(page, "document.getElementById('seen').innerText.includes('Eileen: NASA')", 40)
        assert page.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0
        page.click("#people button")
        until(page, "!document.getElementById('seen').innerText.includes('Eileen')")
        assert page.inner_text("#people") == ""
        assert page.wrong == []


def test_one_thumb_draws(server: Running, walker: Path) -> None:
    """On a phone: the buttons are large, in reach, and a touch draws; axe finds nothing serious in them."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with browsing(walker, has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}) as page:
        page.goto(f"{server.url}/?do=count,follow,identify")
        until(page, SHOWN, 40)
        for name in ("draw-line", "draw-zone", "take-back", "draw-box", "person"):
            place = page.locator(f"#{name}").bounding_box()
            assert place["height"] >= 48, name
        assert page.locator("#draw-line").bounding_box()["y"] > 844 * 0.4
        found = axe.run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
        page.tap("#draw-line")
        left, top, width, height = page.locator("#canvas").bounding_box().values()
        session = page.context.new_cdp_session(page)
        x = left + width / 2
        for kind, y in (("touchStart", 0.2), ("touchMove", 0.5), ("touchMove", 0.8), ("touchEnd", None)):
            points = [] if y is None else [{"x": x, "y": top + y * height}]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        until(page, "document.getElementById('totals').innerText.startsWith('line 1')", 20)
        assert page.evaluate("scrollY") == 0                             # the page did not move with the finger
        assert page.wrong == []


def test_what_was_drawn_holds_for_another_size(server: Running, still: Path) -> None:
    with browsing(still) as page:
        plans: list[Any] = []
        page.on("websocket", lambda socket: socket.on("framesent", lambda sent: plans.append(
            json.loads(sent)["plan"]) if isinstance(sent, str) and "plan" in sent else None))
        page.goto(f"{server.url}/?do=count")
        until(page, SHOWN)
        page.click("#draw-line")
        drag(page, (0.25, 0.5), (0.75, 0.5))                             # of a mirror
        until(page, "document.getElementById('totals').innerText.startsWith('line 1')")
        page.select_option("#size", "320")
        page.wait_for_timeout(1500)
        asked = [[[float(n) for n in point.split(",")] for line in plan["count"]["line"] for point in line.split(":")]
                 for plan in plans if "count" in plan]
        assert np.abs(np.subtract(asked, [[[480, 240], [160, 240]], [[240, 120], [80, 120]]])).max() < 3
        row = yellow(page).sum(axis=1)
        assert row.argmax() == pytest.approx(row.size / 2, abs=4)
        assert row.max() > 0.35 * yellow(page).shape[1]
        assert page.wrong == []
