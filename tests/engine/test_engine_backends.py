"""What every back end has to do, on the same tiny network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny import TinyClip, by_hand

from vision.card import Card, Input
from vision.engine import BACKENDS, Engine, load
from vision.errors import EngineError
from vision.zoo import CARDS


@pytest.fixture(params=list(BACKENDS))
def engine(request: pytest.FixtureRequest, card: Card) -> Iterator[Engine]:
    engine = load(card, "cpu", "fp32", request.param)
    yield engine
    engine.close()


def test_agrees_with_the_network_run_by_hand(engine: Engine, card: Card, pictures: np.ndarray) -> None:
    scores, boxes = engine(pictures)
    expected = by_hand(card, pictures)
    assert np.ptp(expected[0]) > 0.05                     # the pictures make a difference
    np.testing.assert_allclose(scores, expected[0], atol=1e-5)
    np.testing.assert_allclose(boxes, expected[1], atol=1e-3)        # pixels


def test_one_picture_and_a_batch_agree(engine: Engine, pictures: np.ndarray) -> None:
    whole = engine(pictures)
    for i in range(len(pictures)):
        for alone, rows in zip(engine(pictures[i : i + 1]), whole, strict=True):
            np.testing.assert_allclose(alone, rows[i : i + 1], atol=1e-3)


def test_outputs_stay_when_the_next_batch_runs(engine: Engine, pictures: np.ndarray) -> None:
    first = engine(pictures[:1])
    kept = [o.copy() for o in first]
    engine(pictures[3:4])
    for now, then in zip(first, kept, strict=True):
        np.testing.assert_array_equal(now, then)


def test_sizes_may_change_from_call_to_call(engine: Engine, card: Card, pictures: np.ndarray) -> None:
    tall = np.ascontiguousarray(pictures.transpose(0, 2, 1, 3))
    for batch in (pictures[:2], tall[:2], pictures[2:3], tall[2:3]):
        for got, expected in zip(engine(batch), by_hand(card, batch), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-3)


def test_a_view_that_is_not_contiguous_is_taken(engine: Engine, card: Card, pictures: np.ndarray) -> None:
    mirrored = pictures[:2, :, ::-1]
    np.testing.assert_allclose(engine(mirrored)[0], by_hand(card, mirrored)[0], atol=1e-5)


def test_many_threads_get_their_own_pictures(engine: Engine, card: Card, pictures: np.ndarray) -> None:
    expected = by_hand(card, pictures)[0]

    def ask(i: int) -> float:
        batch = pictures[[i % 6, (i + 1) % 6]]
        got = engine.submit(batch).result()[0] if i % 2 else engine(batch[:1])[0]
        return float(np.abs(got - expected[[i % 6, (i + 1) % 6]][: len(got)]).max())

    with ThreadPoolExecutor(6) as threads:
        assert max(threads.map(ask, range(60))) < 1e-5


def test_close_finishes_what_was_submitted(card: Card, pictures: np.ndarray) -> None:
    for backend in BACKENDS:
        engine = load(card, "cpu", "fp32", backend)
        futures = [engine.submit(pictures) for _ in range(4)]
        engine.close()
        expected = by_hand(card, pictures)[0]
        for future in futures:
            np.testing.assert_allclose(future.result(timeout=0)[0], expected, atol=1e-5)
        with pytest.raises(EngineError, match="closed"):
            engine.submit(pictures)
        with pytest.raises(EngineError, match="closed"):
            engine(pictures[:1])


@pytest.mark.parametrize(
    ("batch", "came"),
    [
        (np.zeros((1, 48, 64, 3), np.float32), "float32"),
        (np.zeros((48, 64, 3), np.uint8), r"\(48, 64, 3\)"),
        (np.zeros((1, 48, 64, 4), np.uint8), "4"),
        (np.zeros((0, 48, 64, 3), np.uint8), r"\(0, 48"),
        ([[1, 2]], "list"),
    ],
)
def test_what_is_no_batch_is_refused(engine: Engine, batch: np.ndarray, came: str) -> None:
    with pytest.raises(EngineError, match=came):
        engine.submit(batch)
    with pytest.raises(EngineError, match=came):
        engine(batch)


def test_a_failure_while_running_comes_out_of_the_future(
    engine: Engine, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vision.engine.pictures import PictureEngine

    def broken(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        if batch[0, 0, 0, 0] == 7:
            raise RuntimeError("the driver is gone")
        return (batch[:, 0, 0],)

    assert isinstance(engine._engine, PictureEngine)
    monkeypatch.setattr(engine._engine, "_build", lambda shape, alone: broken)
    batch = pictures.copy()
    batch[:, 0, 0, 0] = 1
    assert len(engine.submit(batch).result()[0]) == 6
    batch[4, 0, 0, 0] = batch[0, 0, 0, 0] = 7
    with pytest.raises(EngineError, match="the driver is gone"):
        engine.submit(batch).result()
    with pytest.raises(EngineError, match=r"failed on 1 x 48x64x3"):
        engine(batch[:1])
    assert len(engine.submit(batch[1:4]).result()[0]) == 3            # and it goes on


@pytest.mark.parametrize("backend", ["torch", "openvino", "onnxruntime"])
def test_clips(backend: str, make_card: Callable[..., Card], pictures: np.ndarray) -> None:
    import torch

    plain = Input((64, 48), "stretch", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    engine = load(make_card("tiny_clip", input=plain), "cpu", "fp32", backend)
    clips = np.stack([pictures[:4], pictures[2:6]])                   # (2,4,48,64,3)
    rgb = torch.from_numpy(clips[..., ::-1].astype(np.float32) / 255).permute(0, 4, 1, 2, 3)
    torch.manual_seed(0)
    net = TinyClip()
    net.load_state_dict({k: v.half().float() for k, v in net.state_dict().items()})
    with torch.no_grad():
        expected = net(rgb).numpy()
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(engine(clips)[0], expected, atol=1e-5)
    engine.close()


@pytest.mark.parametrize(("backend", "precision", "largest"), [
    ("torch", "bf16", 0.05), ("torch", "fp16", 0.005),
    ("openvino", "bf16", 0.05), ("openvino", "fp16", 0.005),
])
def test_half_precision_moves_scores_little_and_boxes_by_less_than_a_pixel(
    backend: str, precision: str, largest: float, card: Card, pictures: np.ndarray
) -> None:
    try:
        engine = load(card, "cpu", precision, backend)
    except EngineError as error:
        pytest.skip(f"not on this processor: {error}")
    assert precision in engine.label
    scores, boxes = engine(pictures)
    expected = by_hand(card, pictures)
    assert 0 < np.abs(scores - expected[0]).max() < largest
    assert np.abs(boxes - expected[1]).max() < 1
    assert scores.dtype == boxes.dtype == np.float32
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "precision"), [
    ("openvino", "fp32"), ("openvino", "int8"), ("openvino", "bf16"), ("onnxruntime", "fp32")])
def test_pictures_of_many_sizes_give_what_each_gives_alone(backend: str, precision: str) -> None:
    noise = np.random.default_rng(0)
    sizes = [(192, 256), (128, 320), (256, 192), (160, 160), (96, 352), (64, 160), (32, 32), (288, 416)]
    pictures = [noise.integers(0, 256, (1, *size, 3), np.uint8) for size in sizes]
    engine = load(CARDS["gfl-voc"], "cpu", precision, backend)
    shared = [engine.submit(picture).result() for picture in pictures]
    if precision != "int8":                              # of which OpenVINO needs a graph for each size
        assert list(engine._engine._graphs) == [((192, 256, 3), False), (None, False)]
    engine.close()
    for picture, outputs in zip(pictures, shared, strict=True):
        alone = load(CARDS["gfl-voc"], "cpu", precision, backend)
        for got, wanted in zip(outputs, alone.submit(picture).result(), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-2)
        alone.close()
