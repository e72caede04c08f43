"""Training of a reader of words: the loss falls, and what comes of it reads as it was judged."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib import get_data_path

from tests.boarded import board_lacks
from tests.text.written import page
from vision import Training
from vision.data.words import find_words
from vision.errors import UsageError
from vision.nets import build
from vision.text.ctc import CASELESS, read_steps
from vision.text.reader import TextReader
from vision.train.reading import Strips
from vision.train.text import TextSettings

FONTS = Path(get_data_path()) / "fonts/ttf"


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    rows = ["image,text,scene"]
    for i in range(24):
        text = ("aa", "bb", "ab", "ba")[i % 4]
        cv2.imwrite(str(folder / f"{i}.png"), page([(text, (4 + i % 3, i % 5), 24)], (40, 32)))
        rows.append(f"{i}.png,{text.upper() if i % 3 else text},{i // 4}")
    (folder / "words.csv").write_text("\n".join(rows))
    (folder / "list").write_text("ab\nba\naab\n")
    return folder


@pytest.fixture(scope="module")
def run(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = TextSettings(
        epochs=4, batch=8, made=16, repeat=2, fonts=FONTS, words=crops / "list", channels=4, hidden=16, lr=5e-3,
        warmup=0, size=(48, 32),
    )
    folder = tmp_path_factory.mktemp("run") / "words"
    Training("text", crops, folder, settings).run()
    return folder


@pytest.mark.slow
def test_the_loss_falls(run: Path) -> None:
    assert board_lacks(run) == set()
    losses = [json.loads(line)["train/ctc"] for line in (run / "curve.jsonl").read_text().splitlines()]
    assert len(losses) == 4
    assert losses[3] < 0.6 * losses[0]
    assert all(np.isfinite(losses))


@pytest.mark.slow
def test_what_was_trained_reads_as_the_network_does(run: Path, crops: Path) -> None:
    words = find_words(crops, tuple(CASELESS))
    strips = Strips(words, (48, 32), still=True)
    net = build("crnn", classes=len(CASELESS), channels=4, hidden=16)
    with TextReader.load(run / "best.safetensors", "cpu", "fp32", "onnxruntime") as reader:
        assert reader.card.config == {"classes": len(CASELESS), "channels": 4, "hidden": 16}
        from vision.engine.program import state_dict

        net.load_state_dict(state_dict(run / "best.safetensors"))
        net.eval()
        read = [reading.text for reading in reader.words(cv2.imread(str(path)) for path in words.paths)]
        with torch.inference_mode():
            batch = torch.stack([strips[i, 0][0] for i in range(len(words))])
            probs = net((batch / 255 - 0.5) / 0.5).softmax(2).numpy()
    assert [read_steps(one, CASELESS).text for one in probs] == read


def test_steps_follow_the_width() -> None:
    net = build("crnn", classes=5, channels=4, hidden=8).eval()
    with torch.inference_mode():
        assert net(torch.zeros(2, 3, 32, 100)).shape == (2, 25, 6)
        assert net.get_submodule("features")(torch.zeros(1, 1, 32, 256)).shape == (1, 32, 1, 64)


def test_items_are_functions_of_their_keys(crops: Path) -> None:
    strips = Strips(find_words(crops, tuple(CASELESS)), (48, 32), repeat=2)
    assert len(strips) == 48
    one, again, other = strips[25, 7], strips[25, 7], strips[25, 8]
    assert torch.equal(one[0], again[0])
    assert not torch.equal(one[0], other[0])
    assert one[1:] == ([2, 2], "BB")                       # the second time through, in small letters


@pytest.mark.parametrize(("given", "message"), [
    ({"fold": 3}, "fold is 0 to 2"), ({"made": 0, "repeat": 0}, "nothing to learn from"),
    ({"size": (100, 48)}, "strips 32 pixels high"),
])
def test_what_cannot_be_is_refused(crops: Path, tmp_path: Path, given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Training("text", crops, tmp_path / "run", TextSettings(**given))
