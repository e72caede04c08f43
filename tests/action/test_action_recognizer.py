"""The recognizer and its stream, on an engine that knows colours."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from conftest import FOUR, WriteVideo, coloured, recognizer
from hypothesis import given, settings
from hypothesis import strategies as st

from vision import RecognizeActions, Run, Segments
from vision.card import Input
from vision.errors import DataError, ModelError, UsageError, WeightsError
from vision.io.clips import dense, uniform
from vision.types import Action, Frame

BLUE, GREEN, RED = range(3)


def frames(spans: list[tuple[int, float]], fps: float, start: float = 0.0) -> list[Frame]:
    """Frames of one colour after the other, each for so many seconds."""
    out: list[Frame] = []
    for label, seconds in spans:
        first = len(out)
        out += [coloured(label, i, start + i / fps) for i in range(first, first + round(seconds * fps))]
    return out


def test_a_clip_gives_the_softmax_of_its_logits() -> None:
    model, colours = recognizer()
    scores = model.clip([coloured(GREEN, i, 0).image for i in range(4)])
    e = np.exp([0, 10, 0])
    assert np.allclose(scores.probs, e / e.sum(), atol=1e-6)
    assert colours.batches[0].shape == (1, 4, 8, 8, 3)


def test_a_short_clip_is_looped_and_a_long_one_refused() -> None:
    model, colours = recognizer()
    model.clip([coloured(c, 0, 0).image for c in (BLUE, RED, GREEN)])
    assert colours.batches[0][0, :, 0, 0].argmax(axis=1).tolist() == [BLUE, RED, GREEN, BLUE]
    for count in (0, 5):
        with pytest.raises(UsageError, match=f"1 to 4 frames; got {count}"):
            model.clip([coloured(RED, 0, 0).image] * count)


def test_a_video_is_the_mean_of_its_clips(write_video: WriteVideo) -> None:
    model, _ = recognizer()
    path = write_video("two.mp4", [f.image for f in frames([(RED, 1.2), (BLUE, 0.8)], 10)], rate=10)
    probs = model.clip_probs(path, dense(4, 4))
    assert probs.shape == (5, 3)
    assert probs.argmax(axis=1).tolist() == [RED, RED, RED, BLUE, BLUE]
    assert np.allclose(model.video(path, dense(4, 4)).probs, probs.mean(axis=0))
    assert len(model.clip_probs(path)) == 10


def test_a_2d_network_looks_once_at_a_frame_that_clips_share(write_video: WriteVideo) -> None:
    clips, _ = recognizer()
    single, colours = recognizer(clip=replace(FOUR, per_frame=True))
    path = write_video("two.mp4", [f.image for f in frames([(RED, 1.0), (BLUE, 1.0)], 10)], rate=10)
    assert np.allclose(single.clip_probs(path, dense(1, 4)), clips.clip_probs(path, dense(1, 4)), atol=1e-5)
    assert colours.seen == 20
    assert colours.batches[0].shape == (20, 8, 8, 3)


def test_two_streams_are_made_of_three_frames_in_a_row(write_video: WriteVideo) -> None:
    model, colours = recognizer(clip=replace(FOUR, per_frame=True, channels="two-stream"))
    greys = [np.full((8, 8, 3), 10 * i, np.uint8) for i in range(6)]
    model.video(write_video("ramp.mp4", greys, rate=10), uniform(1, 4))
    assert colours.batches[0].shape == (2, 2, 8, 8, 3)
    pairs = colours.batches[0][:, :, 0, 0].tolist()
    assert pairs == [[[20, 20, 20], [20, 10, 0]], [[30, 30, 30], [30, 20, 10]]]


def test_three_crops_see_the_ends_of_a_wide_frame(write_video: WriteVideo) -> None:
    model, _ = recognizer(input=Input((8, 8), "crop", crop=1.0))
    wide = np.zeros((8, 24, 3), np.uint8)
    for label in range(3):
        wide[:, 8 * label : 8 * label + 8, label] = 255
    path = write_video("wide.mp4", [wide] * 4, rate=10)
    assert model.video(path).probs.argmax() == GREEN
    probs = model.clip_probs(path, uniform(1, 4), crops=3)
    assert np.allclose(probs, 1 / 3, atol=1e-3)
    with pytest.raises(UsageError, match="crops"):
        recognizer()[0].clip_probs(path, crops=3)


def test_the_descriptor_is_the_mean_over_overlapping_clips_with_length_one(write_video: WriteVideo) -> None:
    model, _ = recognizer()
    path = write_video("two.mp4", [f.image for f in frames([(RED, 1.0), (BLUE, 1.0)], 10)], rate=10)
    found = model.descriptor(path, "mean")
    starts = range(0, 17, 2)                               # 4 frames a clip, 2 overlapping
    blue = np.mean([sum(i >= 10 for i in range(s, s + 4)) / 4 for s in starts])
    want = np.array([blue, 0, 1 - blue])
    assert np.allclose(found, want / np.linalg.norm(want), atol=1e-5)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ModelError, match=r"no descriptor 'fc6'\. It has: mean"):
        model.descriptor(path, "fc6")


def test_names_that_do_not_fit_the_weights_are_an_error() -> None:
    with pytest.raises(ModelError, match="101 classes and 3 names"):
        recognizer(config={"classes": 101})
    model, _ = recognizer(names=("one", "two"))
    with pytest.raises(WeightsError, match="3 scores and has 2 names"):
        model.clip([coloured(RED, 0, 0).image] * 4)


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
def test_a_stream_finds_the_same_segments_at_every_rate(fps: float, per_frame: bool) -> None:
    model, _ = recognizer(clip=replace(FOUR, per_frame=per_frame))
    for frame in frames([(RED, 4.0), (BLUE, 4.0), (GREEN, 4.0)], fps, start=100.0):
        model(frame)
    found = model.segments
    assert [s.label for s in found] == [RED, BLUE, GREEN]
    times = [(s.start, s.end) for s in found]
    for (start, end), (want_start, want_end) in zip(times, [(100, 104), (104, 108), (108, 112)], strict=True):
        assert start == pytest.approx(want_start, abs=0.25)
        assert end == pytest.approx(want_end, abs=0.25)


def test_none_until_the_window_is_full_then_the_running_action() -> None:
    model, _ = recognizer()
    results = [model(frame) for frame in frames([(RED, 2.0)], 10)]
    assert [r is None for r in results] == [True] * 3 + [False] * 17
    assert all(isinstance(r, Action) and r.label == RED for r in results[3:])
    assert results[-1].start == pytest.approx(0.0)
    assert results[-1].end == pytest.approx(1.9)


@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
def test_frames_are_resized_once_and_seen_once(fps: float) -> None:
    model, colours = recognizer(clip=replace(FOUR, per_frame=True))
    resized: list[int] = []
    pixels = model.pixels
    model.pixels = lambda image: resized.append(1) or pixels(image)
    stream = model.stream(every=0.1)
    for frame in frames([(RED, 2.0)], fps):
        stream(frame)
    assert len(resized) == colours.seen == pytest.approx(20, abs=1)        # ticks, not frames


def test_clip_networks_compute_each_window_anew() -> None:
    model, colours = recognizer()
    stream = model.stream(every=0.2)
    for frame in frames([(RED, 2.0)], 10):
        stream(frame)
    assert colours.seen == 9                               # at 0.3 s, then every 0.2 s


def test_below_the_threshold_is_idle() -> None:
    model, _ = recognizer()
    grey = [Frame(np.full((8, 8, 3), 100, np.uint8), i, i / 10) for i in range(20)]
    last = [model(f) for f in grey][-1]
    assert last is not None
    assert last.label == -1
    assert model.segments == []
    assert last.to_dict(model.names)["action"] is None


def test_a_class_named_none_is_idle() -> None:
    names = ("blue", "none", "red")
    model, _ = recognizer(names=names)
    for frame in frames([(RED, 3.0), (GREEN, 3.0), (BLUE, 3.0)], 10):
        last = model(frame)
    assert model.none == GREEN
    assert [names[segment.label] for segment in model.segments] == ["red", "blue"]
    assert last is not None
    assert last.to_dict(names)["scores"][0]["label"] == "blue"


def test_hysteresis_keeps_an_action_that_wavers() -> None:
    def mixed(i: int, share: float) -> Frame:
        image = np.zeros((8, 8, 3), np.uint8)
        image[..., RED], image[..., BLUE] = round(255 * share), round(255 * (1 - share))
        return Frame(image, i, i / 10)

    # logits 10 s and 10 (1 - s): p = 1 / (1 + exp(-20 (s - 0.5))), about 0.55 at 0.51
    wavering = [mixed(i, 0.6 if i < 20 else 0.51) for i in range(60)]
    kept, lost = (recognizer()[0].stream(hysteresis=h, smoothing=0.0) for h in (0.15, 0.0))
    for frame in wavering:
        kept(frame)
        lost(frame)
    assert kept.segments[0].end == pytest.approx(5.9)
    assert lost.segments[0].end == pytest.approx(2.0, abs=0.4)


def test_flicker_is_dropped_and_its_neighbours_joined() -> None:
    model, _ = recognizer()
    stream = model.stream(every=0.1, smoothing=0.0, shortest=1.0)
    for frame in frames([(RED, 3.0), (BLUE, 0.6), (RED, 3.0)], 10):
        stream(frame)
    (only,) = stream.finish()
    assert only.label == RED
    assert (only.start, only.end) == (pytest.approx(0.0), pytest.approx(6.5))


def test_a_gap_ends_what_went_on_and_empties_the_window() -> None:
    model, _ = recognizer()
    before, after = frames([(RED, 3.0)], 10), frames([(RED, 3.0)], 10, start=60.0)
    results = [model(f) for f in before + after]
    assert [r is None for r in results[30:]] == [True] * 3 + [False] * 27
    ends = [t for s in model.segments for t in (s.start, s.end)]
    assert ends == pytest.approx([0.0, 2.9, 60.0, 62.9])


def test_where_time_begins_again_a_segment_ends() -> None:
    """Two videos through one stream: it ran on, to an end before its start, and held the next one back."""
    model, _ = recognizer()
    stream = model.stream(every=0.2, smoothing=0.0, shortest=0.0)
    for frame in [*frames([(RED, 3.0)], 10), *frames([(RED, 2.0)], 10)]:
        stream(frame)
    spans = [(s.label, round(s.start, 1), round(s.end, 1)) for s in stream.finish()]
    assert spans == [(RED, 0.0, 2.9), (RED, 0.0, 1.9)]
    with pytest.raises(DataError, match="time must be finite seconds; got nan"):
        stream(coloured(RED, 0, float("nan")))


def test_a_stream_shorter_than_a_window_is_looped_at_its_end() -> None:
    for fields in ({}, {"per_frame": True}, {"per_frame": True, "channels": "two-stream"}):
        model, _ = recognizer(clip=replace(FOUR, **fields))
        stream = model.stream()
        assert [stream(f) for f in frames([(GREEN, 0.2)], 10)] == [None, None]
        if "channels" in fields:
            continue                                       # its grey stream has no colours to tell
        (only,) = stream.finish()
        assert (only.label, only.start, only.end) == (GREEN, 0.0, pytest.approx(0.1))
    assert recognizer()[0].stream().finish() == []


@pytest.mark.parametrize("start", [63.0, 0.0])
def test_a_tail_after_a_gap_takes_nothing_from_what_was_before(start: float) -> None:
    """It was looped as if it were all, and took the place of the segments: after a gap, or where time began again."""
    model, _ = recognizer()
    stream = model.stream()
    for frame in [*frames([(RED, 10.0)], 10), *frames([(GREEN, 0.2)], 10, start=start)]:
        stream(frame)
    assert [(s.label, s.start, round(s.end, 3)) for s in stream.finish()] == [(RED, 0.0, 9.9)]
    assert not stream.looped


def test_what_is_looped_begins_after_the_last_gap() -> None:
    model, _ = recognizer()
    stream = model.stream()
    for frame in [*frames([(RED, 0.2)], 10), *frames([(GREEN, 0.2)], 10, start=60.0)]:
        stream(frame)
    assert [(s.label, s.start, round(s.end, 3)) for s in stream.finish()] == [(GREEN, 60.0, 60.1)]
    assert stream.looped


def test_frames_too_far_apart_for_a_window_show_no_action(tmp_path: Path) -> None:
    """A single frame behind a gap was looped, as if the film were shorter than a window."""
    model, _ = recognizer()
    film = [coloured(GREEN, i, time) for i, time in enumerate((0.0, 2.0, 3.5, 5.0))]
    with Run(film, [RecognizeActions(model)], sinks=[Segments(tmp_path / "s.csv")]) as run:
        assert run.finish().notes == [
            "no action: the frames were 1.50 s apart or more, too far for the model's window of 0.40 s. Look at more "
            "of them: a smaller --stride; of pictures, a larger --rate."]
    assert (tmp_path / "s.csv").read_text() == "source,label,class_id,score,start_s,end_s\n"
    pair = [replace(frame, source="made") for frame in (film[0], *frames([(RED, 0.2)], 10, start=9.0))]
    with Run(pair, [RecognizeActions(model)], sinks=[Segments(tmp_path / "s.csv")]) as run:
        assert run.finish().notes == [
            "what follows the last gap is shorter than the model's window of 0.40 s: the frames were looped to fill "
            "it, as in training, which gives red 1.00. Records are written before the end, and have none."]
    assert (tmp_path / "s.csv").read_text().splitlines()[1:] == ["made,red,2,0.9999,9.0,9.1"]


def test_an_action_begins_with_the_first_frame_at_the_earliest() -> None:
    """Dated back by the smoothing it began before the film did, or in a gap."""
    model, _ = recognizer()
    stream = model.stream(every=0.1, smoothing=2.0)
    grey = [Frame(np.zeros((8, 8, 3), np.uint8), i, 5 + i / 10) for i in range(4)]
    again = [replace(frame, time=frame.time + 15) for frame in grey]
    for frame in [*grey, *frames([(RED, 2.0)], 10, start=5.4), *again, *frames([(RED, 2.0)], 10, start=20.4)]:
        stream(frame)
    assert [(s.label, s.start, round(s.end, 3)) for s in stream.finish()] == [(RED, 5.0, 7.3), (RED, 20.0, 22.3)]


def test_what_is_too_short_at_the_end_is_dropped_unless_the_film_is() -> None:
    grey = [Frame(np.zeros((8, 8, 3), np.uint8), i, i / 10) for i in range(30)]
    flicker, short = (recognizer()[0].stream(every=0.1, smoothing=0.0, shortest=1.0) for _ in range(2))
    for frame in [*grey, *frames([(RED, 0.4)], 10, start=3.0)]:
        flicker(frame)
    assert [s.label for s in flicker.segments] == [RED]                   # it may last
    assert flicker.finish() == []
    for frame in frames([(RED, 0.8)], 10):
        short(frame)
    assert [(s.label, s.start, round(s.end, 3)) for s in short.finish()] == [(RED, 0.0, 0.7)]


def test_batches_and_single_steps_agree() -> None:
    model, _ = recognizer()
    film = frames([(RED, 2.0), (BLUE, 2.0)], 25)
    one, many = model.stream(), model.stream()
    for frame in film:
        one(frame)
    for i in range(0, len(film), 7):
        chunk = film[i : i + 7]
        for frame, window in zip(chunk, many.submit(chunk)(), strict=True):
            many.settle(frame, window)
    first, second = ([(s.label, s.start, s.end) for s in stream.segments] for stream in (one, many))
    assert first == second


def test_streams_of_one_model_share_nothing() -> None:
    model, _ = recognizer()
    results: dict[int, list[int]] = {}

    def watch(label: int) -> None:
        stream = model.stream()
        for frame in frames([(label, 3.0)], 25):
            stream(frame)
        results[label] = [s.label for s in stream.finish()]

    threads = [Thread(target=watch, args=(label,)) for label in (BLUE, GREEN, RED)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {BLUE: [BLUE], GREEN: [GREEN], RED: [RED]}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0.2, 3.0)), min_size=1, max_size=6),
    st.sampled_from([10.0, 25.0, 30.0]),
)
def test_segments_are_in_order_and_never_overlap(spans: list[tuple[int, float]], fps: float) -> None:
    model, _ = recognizer()
    stream = model.stream()
    film = frames(spans, fps)
    for frame in film:
        stream(frame)
    found = stream.finish()
    bounds = [t for s in found for t in (s.start, s.end)]
    assert bounds == sorted(bounds)
    if film:
        assert not bounds or (bounds[0] >= 0 and bounds[-1] <= film[-1].time + 1e-9)
    assert all(a.label != b.label or b.start - a.end >= 1.0 for a, b in pairwise(found))


def test_one_frame_video(write_video: WriteVideo, tmp_path: Path) -> None:
    model, _ = recognizer()
    assert model.video(write_video("one.mp4", [coloured(RED, 0, 0).image])).probs.argmax() == RED
