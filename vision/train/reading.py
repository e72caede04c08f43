"""Training of a reader of words: crops and made words, the objective by CTC, the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.card import Card, Input
from vision.data.made_words import Typesetter
from vision.data.words import Words
from vision.io.pictures import decode_picture
from vision.metrics.text import read_figures
from vision.nets import build
from vision.text.ctc import classes_of, read_steps
from vision.train.captions import SHOWN, captioned
from vision.train.fit import fit
from vision.train.loading import Key, of_all
from vision.train.recipe import Objective, Parts, Told, Trained
from vision.train.start import load_net
from vision.types import Image
from vision.view import stretch

if TYPE_CHECKING:
    from vision.train.text import TextSettings
    from vision.train.training import Training

_HALF = (0.5, 0.5, 0.5)
Strip = tuple[Tensor, list[int], str]  # (3,h,w) uint8 RGB, the classes of its characters, its text


class Strips:
    """Words as the network sees them. An item is a function of its key.

    made: that many words of `typesetter` come first, then each of `crops` `repeat` times, varied unless `still`.
    """

    def __init__(
        self, crops: Words, size_wh: tuple[int, int], repeat: int = 1, made: int = 0,
        typesetter: Typesetter | None = None, still: bool = False,
    ) -> None:
        self.crops, self.size_wh, self.repeat, self.still = crops, size_wh, repeat, still
        self.typesetter = typesetter
        self.made = made if typesetter else 0

    def __len__(self) -> int:
        return self.made + self.repeat * len(self.crops)

    def __getitem__(self, key: Key) -> Strip:
        index, seed = key
        random = np.random.default_rng(seed)
        if self.typesetter is not None and index < self.made:
            text = self.typesetter.text(random)
            image = self.typesetter.picture(text, random)
        else:
            row = (index - self.made) % len(self.crops)
            path, text = self.crops.paths[row], self.crops.texts[row]
            image = decode_picture(path.read_bytes(), str(path))
            image = image if self.still else varied(image, random)
        pixels = stretch(image, self.size_wh).pixels[..., ::-1]
        strip = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return strip, classes_of(text, self.crops.names), text

    @staticmethod
    def collate(items: Sequence[Strip]) -> tuple[Tensor, Tensor, Tensor, list[str]]:
        """Strips (B,3,h,w), all their classes in a row, how many each has, their texts."""
        strips, classes, texts = zip(*items, strict=True)
        together = torch.tensor([one for row in classes for one in row])
        return torch.stack(strips), together, torch.tensor([len(row) for row in classes]), list(texts)


def varied(image: Image, random: np.random.Generator) -> Image:
    """A crop as it might have been cut or taken otherwise: corners moved, brighter or darker, out of focus."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + random.normal(0, 0.05, (4, 2)).astype(np.float32) * height
    warp = cv2.getPerspectiveTransform(corners, moved)
    image = cv2.warpPerspective(image, warp, (width, height), borderMode=cv2.BORDER_REPLICATE)
    values = image.astype(np.float32) * random.uniform(0.7, 1.3) + random.normal(0, 15)
    if random.random() < 0.15:
        values = 255 - values
    if random.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), random.uniform(0.1, 0.04 * height + 0.1))
    values += random.normal(0, random.uniform(0, 8), values.shape)
    return np.asarray(values.clip(0, 255), np.uint8)


class ReadingObjective(Objective):
    """The CTC loss; judged by whole words and by characters, case ignored."""

    words: ClassVar[Mapping[str, str]] = {"word_accuracy": "word accuracy", "cer": "CER"}

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        self._seen: list[tuple[str, str]] = []           # what was read, and what is written

    def loss(self, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        """`ctc`, a character; words that are longer than their strip has steps count nothing."""
        strips, classes, lengths, _ = batch
        logits = net(self.inputs(strips)).float().log_softmax(2).transpose(0, 1)        # (T,B,C)
        steps = torch.full((len(strips),), len(logits), device=logits.device)
        return {"ctc": F.ctc_loss(logits, classes.to(logits.device), steps, lengths.to(logits.device),
                                  zero_infinity=True)}

    def update(self, net: nn.Module, batch: Any) -> None:
        """Read a batch."""
        strips, _, _, texts = batch
        probs = net(self.inputs(strips)).float().softmax(2).cpu().numpy()
        self._seen += zip([read_steps(one, self.card.classes).text for one in probs], texts, strict=True)

    def pictures(self, net: nn.Module, batch: Any) -> Tensor:
        """Each strip with what was read, and what is written where that is another."""
        strips, texts = batch[0][:SHOWN], batch[3][:SHOWN]
        probs = net(self.inputs(strips)).float().softmax(2).cpu().numpy()
        read = [read_steps(one, self.card.classes).text for one in probs]
        right = [found.casefold() == text.casefold() for found, text in zip(read, texts, strict=True)]
        lines = [found if good else f"{found}, is {text}" for found, good, text in zip(read, right, texts, strict=True)]
        return captioned(strips, lines, right)

    def figures(self) -> dict[str, float]:
        """word_accuracy and cer."""
        read, truth = zip(*of_all(self._seen, self.held), strict=True)
        self._seen.clear()
        figures = read_figures(read, truth)
        return {"word_accuracy": figures.accuracy, "cer": figures.cer}


def train(training: Training, told: Told) -> Trained:
    """Train the network on crops and made words. The last epoch's weights are kept, so that the figures on what is
    held out are no choice of theirs; with `patience` the best ones are, and the run stops early."""
    settings: TextSettings = training.settings
    learnt, held = training.data
    config = {"classes": len(training.names), "channels": settings.channels, "hidden": settings.hidden}
    net = build("crnn", **config)
    if settings.weights is not None:
        load_net(net, settings.weights)
    card = Card(
        name=training.folder.name, task="text", net="crnn", config=config, file="best.safetensors",
        licence="as the training data's", source=f"trained on {settings.made} made words an epoch, {len(learnt)} crops",
        names=training.names, input=Input(settings.size, "stretch", fixed=True, mean=_HALF, std=_HALF), min_score=0.3,
    )
    typesetter = Typesetter(settings.fonts, settings.words) if settings.made else None
    sets = (
        Strips(learnt, settings.size, settings.repeat, settings.made, typesetter),
        Strips(held, settings.size, still=True),
    )
    parts = Parts(net, ReadingObjective(card), *sets, keep="best" if settings.patience else "last")
    return fit(parts, training, told)
