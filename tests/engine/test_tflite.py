"""TFLite files: what `vision export` writes, and what LiteRT makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import by_hand

from vision.card import Card
from vision.cli.measured import photographs, picture_of
from vision.engine import load
from vision.engine.base import CannotRun
from vision.errors import EngineError, WeightsError
from vision.export import export
from vision.zoo import find

BATCH = np.random.default_rng(3).integers(0, 256, (1, 48, 64, 3), np.uint8)
# the tiny network of these tests, as the last one writes it, and what PyTorch gave for BATCH
KEPT = Path(__file__).parent / "data" / "tiny.tflite"


@pytest.fixture
def tiny(make_card: Callable[..., Card]) -> Card:
    return make_card(task="detect", names=tuple("abcde"))


def test_a_file_is_opened_with_its_card_and_gives_what_torch_gave() -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT (ai-edge-litert) is not installed")
    card = find(str(KEPT))
    assert (card.form, card.names, card.input.size_wh, card.input.fixed) == ("tflite", tuple("abcde"), (64, 48), True)
    engine = load(card, "cpu")
    assert engine.label == "litert CPU fp32"
    with np.load(KEPT.with_suffix(".npz")) as expected:
        for found, wanted in zip(engine(BATCH), expected.values(), strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-4)
        both = engine.submit(np.concatenate([BATCH, BATCH])).result()
        np.testing.assert_allclose(both[0], np.repeat(expected["scores"], 2, 0), atol=1e-4)
    with pytest.raises(EngineError, match="pictures of 64x48; got 32x32"):
        engine(np.zeros((1, 32, 32, 3), np.uint8))
    engine.close()
    with pytest.raises(EngineError, match=r"litert alone runs 'tiny'"):
        load(card, "cpu", backend="openvino")


def test_a_file_without_card_and_one_that_is_none(tmp_path: Path) -> None:
    whole = KEPT.read_bytes()
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(whole[: whole.index(b"PK\x03\x04")])
    with pytest.raises(WeightsError, match="carries no card"):
        find(str(plain))
    broken = tmp_path / "broken.tflite"
    shutil.copyfile(KEPT, broken)
    broken.write_bytes(b"x" * 64 + whole[whole.index(b"PK\x03\x04"):])
    pytest.importorskip("ai_edge_litert", reason="LiteRT (ai-edge-litert) is not installed")
    with pytest.raises(EngineError, match="litert cannot run 'tiny'"):
        load(find(str(broken)), "cpu")(BATCH)


def test_what_is_written_gives_what_its_source_gives(tiny: Card, tmp_path: Path) -> None:
    pytest.importorskip("litert_torch", reason="the writer of TFLite files (extra tflite) is not installed")
    made = export(tiny, tmp_path / "out.tflite", [picture_of(path) for path in photographs()], "tflite")
    assert made.accepted
    assert (made.size, made.batch) == ((48, 64, 3), 1)
    assert made.difference.relative < 1e-5
    engine = load(find(tmp_path / "out.tflite"), "cpu")
    for found, wanted in zip(engine(BATCH), by_hand(tiny, BATCH), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    engine.close()
    with pytest.raises(CannotRun, match="its graph takes one picture of one size"):
        export(tiny, tmp_path / "two.tflite", [BATCH[0]], "tflite", batch="2")
    with pytest.raises(CannotRun, match="its steps depend on the picture"):
        export(replace(tiny, config={"traceable": False}), tmp_path / "a.tflite", [BATCH[0]], "tflite")
