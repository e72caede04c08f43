"""How readers of words are trained: settings, and what is refused before torch is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from vision.data.made_words import FONTS, WORDS
from vision.data.words import Words, in_folds
from vision.errors import UsageError
from vision.spec import Option, spec
from vision.text.ctc import CASED, CASELESS
from vision.train import settings as common
from vision.train.recipe import Recipe
from vision.train.settings import Settings
from vision.train.start import there


@spec
class TextSettings(Settings):
    """How a reader of words is trained: on the crops of a folder, on words made here, or on both."""

    epochs: common.Epochs = 20
    batch: common.Batch = 64
    made: Annotated[int, Option("made words in an epoch, other ones in each; 0: none", min=0)] = 20_000
    repeat: Annotated[int, Option("times that each crop comes in an epoch; 0: learn from made words alone", min=0)] = 1
    fonts: Annotated[Path, Option("folder of fonts for made words")] = FONTS
    words: Annotated[Path, Option("file of words to make, one a line")] = WORDS
    alphabet: Annotated[Literal["caseless", "cased"], Option(
        "caseless: capitals are read as small letters; cased: they are told apart")] = "caseless"
    fold: Annotated[int, Option("which part of the scenes is held out, from 0", min=0)] = 0
    folds: Annotated[int, Option("parts that the scenes are cut into", min=2)] = 3
    channels: Annotated[int, Option("of the first layer; the paper has 64", min=4, max=128)] = 32
    hidden: Annotated[int, Option("of each LSTM in each direction; the paper has 256", min=8, max=512)] = 128
    size: common.Size = (100, 32)
    weights: common.Weights = None

    @property
    def characters(self) -> tuple[str, ...]:
        """Of the alphabet."""
        return tuple(CASED if self.alphabet == "cased" else CASELESS)


def _read(data: Path, settings: TextSettings) -> tuple[Words, Words]:
    return in_folds(data, settings.characters, settings.fold, settings.folds)


def _settle(settings: TextSettings) -> TextSettings:
    if settings.fold >= settings.folds:
        raise UsageError(f"fold is 0 to {settings.folds - 1} of {settings.folds} folds; got {settings.fold}.")
    if not settings.made and not settings.repeat:
        raise UsageError("nothing to learn from: give --made above 0, or --repeat.")
    if settings.size[1] != 32:
        raise UsageError(f"the network reads strips 32 pixels high; got {settings.size[0]}x{settings.size[1]}.")
    there(settings.weights)
    return settings


RECIPE = Recipe(
    TextSettings, _read, "vision.train.reading:train", _settle,
    doc="Reading of words, on a folder with words.csv (image,text,scene) or ICDAR's gt.txt, and on made words.",
)
