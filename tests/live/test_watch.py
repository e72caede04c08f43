"""A live source under a plan that changes: the source goes on, each plan begins anew, a bad one changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cameras import FakeCapture, Nth

from vision import Frame, Item, VideoWriter, Watch
from vision.errors import UsageError
from vision.io.base import Info, Log, Span
from vision.io.chain import Chain, Group


def until(watch: Watch, true: Callable[[Item | None], bool], seconds: float = 5.0) -> Item | None:
    """The first newest item of which this is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        item = watch.newest(0.02)
        if true(item):
            return item
    raise AssertionError(f"it does not come: {watch.status!r}")


def nth(item: Item | None) -> float:
    return float(item["nth"].probs[0]) if item is not None and "nth" in item else 0.0


def test_a_plan_changes_while_the_source_goes_on(camera: type[FakeCapture]) -> None:
    with Watch("0", [Nth()]) as watch:
        before = until(watch, lambda item: nth(item) >= 10)
        watch.switch([Nth(key="other")])
        after = until(watch, lambda item: item is not None and "other" in item)
        assert before is not None
        assert after is not None
        assert after.frame.index > before.frame.index                    # no new connection, which counts anew
        assert float(after["other"].probs[0]) < 10                       # a new step
        assert [one.key for one in watch.plan] == ["other"]
        assert watch.status == ""
        with pytest.raises(UsageError, match="the plan is empty"):
            watch.switch([])


def test_a_plan_whose_model_is_not_there_changes_nothing(camera: type[FakeCapture]) -> None:
    with Watch("0", [Nth()]) as watch:
        until(watch, lambda item: nth(item) >= 3)
        watch.switch([Nth(key="bad", fails=True)])
        until(watch, lambda _: "no such model" in watch.status, 2)
        assert [one.key for one in watch.plan] == ["nth"]
        assert nth(until(watch, lambda item: nth(item) > 3)) > 3


def test_a_plan_that_fails_while_another_is_asked_for_is_forgotten(
    camera: type[FakeCapture], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, loads = threading.Event(), Nth.load

    def slowly(self: Nth, pool: object) -> None:
        if self.fails:
            asked.wait(5)
        loads(self, pool)

    monkeypatch.setattr(Nth, "load", slowly)
    with Watch("0", [Nth()]) as watch:
        until(watch, lambda item: nth(item) >= 1)
        watch.switch([Nth(key="a"), Nth(key="bad", fails=True)])
        time.sleep(0.1)                                  # it is being loaded
        watch.switch([Nth(key="b")])
        asked.set()
        until(watch, lambda item: item is not None and "b" in item, 2)
        assert [one.key for one in watch.plan] == ["b"]
        assert watch.status == ""


def test_a_step_that_fails_on_a_frame_is_told_and_begins_anew(
    camera: type[FakeCapture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vision.watch._AGAIN_S", 0.05)
    with Watch("0", [Nth(stumbles=5)]) as watch:
        seen = until(watch, lambda item: item is not None and item.frame.index > 5)
        assert seen is not None
        assert watch.trouble == ""
        assert nth(seen) < seen.frame.index


def test_a_camera_that_is_missing_is_waited_for_and_comes_with_another_size(camera: type[FakeCapture]) -> None:
    camera.there = False
    with Watch("0", [Nth()]) as watch:
        until(watch, lambda _: "camera 0 is not there: waiting" in watch.status, 2)
        camera.there = True
        first = until(watch, lambda item: item is not None)
        assert first is not None
        assert first.frame.gap == 0                                      # it was never there before
        camera.there, camera.size_wh = False, (128, 96)
        until(watch, lambda _: "waiting" in watch.status, 2)
        camera.there = True
        back = until(watch, lambda item: item is not None and item.frame.size_wh == (128, 96))
        assert back is not None
        assert nth(back) > 1                                             # the same step goes on
        assert watch.status == ""


def test_it_can_be_closed_while_it_waits(camera: type[FakeCapture]) -> None:
    camera.there = False
    watch = Watch("0", [Nth()])
    assert watch.newest(0.2) is None
    began = time.monotonic()
    watch.close()
    assert time.monotonic() - began < 1
    assert watch.ended


def test_a_list_of_missing_cameras_can_be_closed(camera: type[FakeCapture], tmp_path: Path) -> None:
    camera.there = False
    (tmp_path / "cameras.txt").write_text("7\n8\n9\n")
    watch = Watch(tmp_path / "cameras.txt", [Nth()])
    until(watch, lambda _: "cameras.txt is not there: waiting for 0 s" in watch.status)
    closing = threading.Thread(target=watch.close, daemon=True)
    closing.start()
    closing.join(2)
    assert not closing.is_alive()
    assert watch.ended


def test_no_source_of_a_list_is_begun_once_it_is_interrupted() -> None:
    opened: list[str] = []

    class Film:
        info = Info("film", "video")

        def frames(self, span: Span, log: Log) -> Iterator[Frame]:
            yield Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.0)

        def close(self) -> None:
            opened.append("closed")

    def slowly() -> Film:
        opened.append("opened")
        chain.interrupt()                                # while it is being opened
        return Film()

    chain = Chain(Info("list", "list"), [Group("a", slowly), Group("b", slowly)])
    assert list(chain.frames(Span(), Log())) == []
    assert opened == ["opened", "closed"]


def test_pictures_of_a_full_buffer_are_passed_over(camera: type[FakeCapture]) -> None:
    """Four pictures of half a minute ago to half a second ago lie in the driver's queue."""
    camera.stale = (9.0, 3.0, 0.5, 0.3)
    with Watch("0", [Nth()]) as watch:
        first = until(watch, lambda item: item is not None)
    assert first is not None
    assert time.monotonic() - first.frame.captured < 0.2
    assert int(first.frame.image[0, 0, 0]) <= first.frame.index + 2      # they were not even decoded


def test_a_file_plays_a_camera_and_ends(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4") as film:
        for n in range(5):
            film.write(np.full((48, 64, 3), 40 * n, np.uint8), n / 20)
    with Watch(tmp_path / "clip.mp4", [Nth()]) as watch:
        until(watch, lambda _: watch.ended)
        assert watch.count + watch.skipped == 5
        assert watch.status == "the source has ended"
