"""A stream of actions can be put down and taken up again: what follows is the same to the last bit."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from threading import Timer
from typing import Any

import numpy as np
import pytest
from conftest import FOUR, Colours, card
from hypothesis import given, settings
from hypothesis import strategies as st

from vision import state
from vision.engine import FakeEngine
from vision.tasks.action import Recognizer
from vision.tasks.action_stream import Stream
from vision.types import Action, Frame

PICTURES = replace(FOUR, per_frame=True)
FIELDS = [{}, {"clip": PICTURES}, {"clip": replace(PICTURES, channels="two-stream")}]


def model(fields: dict[str, Any]) -> Recognizer:
    return Recognizer(FakeEngine(Colours()), card(**fields))


def film(fps: float) -> list[Frame]:
    """Nine seconds of noise of three colours, a gap, and a video that begins anew."""
    rng = np.random.default_rng(0)
    out = []
    for n in range(round(9 * fps)):
        image = rng.integers(0, 60, (8, 8, 3), np.uint8)
        image[..., n * 3 // round(9 * fps)] += 180
        time = n / fps
        time = time + 5 if 3 <= time < 6 else time - 6 if time >= 6 else time
        out.append(Frame(image, n, time))
    return out


FILMS = {fps: film(fps) for fps in (4.0, 10.0, 25.0)}


def bits(action: Action | None) -> Any:
    return action and (action.label, action.start, action.end, action.probs.tobytes())


def fresh(stream: Stream, recognizer: Recognizer) -> Stream:
    other = recognizer.stream(every=0.2)
    other.restore(state.loads(state.dumps(stream.state())))
    return other


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(FIELDS), st.sampled_from(sorted(FILMS)), st.sets(st.integers(0, 220), max_size=8))
def test_a_stream(fields: dict[str, Any], fps: float, cuts: set[int]) -> None:
    recognizer = model(fields)
    whole, one = recognizer.stream(every=0.2), recognizer.stream(every=0.2)
    found = []
    for n, frame in enumerate(FILMS[fps]):
        one = fresh(one, recognizer) if n % len(FILMS[fps]) in cuts else one
        found.append(one(frame))
        assert bits(found[-1]) == bits(whole(frame))
        assert [bits(s) for s in one.segments] == [bits(s) for s in whole.segments]
    assert state.dumps(one.state()) == state.dumps(whole.state())
    assert [bits(s) for s in fresh(one, recognizer).finish()] == [bits(s) for s in whole.finish()]
    if not fields:
        assert {f.label for f in found if f is not None} >= {0, 1, 2}
        assert len(whole.segments) >= 3


@pytest.mark.parametrize("fields", FIELDS)
def test_a_stream_shorter_than_a_window_is_still_looped(fields: dict[str, Any]) -> None:
    recognizer = model(fields)
    one, whole = recognizer.stream(every=0.2), recognizer.stream(every=0.2)
    for frame in FILMS[10.0][:2]:
        one(frame)
        whole(frame)
    assert [bits(s) for s in fresh(one, recognizer).finish()] == [bits(s) for s in whole.finish()]


def test_a_frame_that_serves_several_ticks_is_one_object_again() -> None:
    """At 4 frames a second each serves two or three ticks of ten."""
    recognizer = model({"clip": PICTURES})
    stream = recognizer.stream(every=0.2)
    for frame in FILMS[4.0][:8]:
        stream(frame)
    other = fresh(stream, recognizer)
    for queue in ("_pixels", "_found"):
        a, b = list(getattr(stream, queue)), list(getattr(other, queue))
        assert [x is y for x in a for y in a] == [x is y for x in b for y in b]
        assert len({id(x) for x in a}) == 2 < len(a) == 4
    np.testing.assert_array_equal(np.stack(stream._pixels), np.stack(other._pixels))
    assert len(stream.state()["pixels"]["values"]) == 2


def test_a_state_waits_for_the_engine() -> None:
    recognizer = model({"clip": PICTURES})
    stream = recognizer.stream(every=0.2)
    for frame in FILMS[10.0][:3]:
        stream(frame)
    pending: Future[Any] = Future()
    stream._found[-1] = pending
    Timer(0.1, pending.set_result, [(np.array([[1.0, 2.0, 3.0]], np.float32),)]).start()
    assert stream.state()["found"]["values"][-1].tolist() == [1, 2, 3]
