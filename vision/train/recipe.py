"""What a task gives so that its networks can be trained: a `Recipe`, and an `Objective`. Nothing here imports torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from vision.card import Card
from vision.train.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vision.nets.deploy import Normalise
    from vision.train.training import Training



class Split(Protocol):
    """A part of a data set."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in label order."""

    def __len__(self) -> int: ...

    def summary(self) -> list[str]:
        """What is worth saying of it, in lines: what was left out, what is wrong."""


class Progress(NamedTuple):
    """Where a training is. epoch: from 1. share: of the epoch that is done, 0..1. loss: the mean so far. figures:
    of the validation that ended the epoch, by their names for people; seconds: of the epoch. done: whether the
    epoch is."""

    epoch: int
    epochs: int
    share: float
    loss: float
    figures: Mapping[str, float]
    seconds: float
    done: bool


Told = Callable[[Progress], None]


@dataclass(frozen=True)
class Trained:
    """What came of a training: the weights with their card, their figures by name, how many epochs there were, and
    which of the figures people see, by their names for them."""

    weights: Path
    figures: Mapping[str, float]
    epochs: int
    words: Mapping[str, str] = field(default_factory=dict)


class Objective(ABC):
    """What a network learns by and is judged by.

    words: the figures that people see, each with its name for them; the first is best when it is highest, and
    decides which weights are kept. card: of the result, which says how pictures are normalised. held: how many items
    it is judged by, which `fit` says.
    """

    words: ClassVar[Mapping[str, str]] = {}

    def __init__(self, card: Card) -> None:
        self.card, self.held = card, 0
        self._normalise: Normalise | None = None

    @property
    def figure(self) -> str:
        """The figure that decides."""
        return next(iter(self.words))

    def inputs(self, pictures: Tensor) -> Tensor:
        """What the network sees of pictures (B,3,H,W) or clips (B,3,T,H,W), uint8 RGB: float32, normalised."""
        import torch

        from vision.nets.deploy import Normalise

        if self._normalise is None:
            self._normalise = Normalise(self.card.input.mean, self.card.input.std).to(pictures.device)
        x: Tensor = self._normalise(pictures)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    @abstractmethod
    def loss(self, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        """The terms of the loss, scalars; their sum is minimised."""

    @abstractmethod
    def update(self, net: nn.Module, batch: Any) -> None:
        """Take a validation batch into the figures; `net` is in evaluation mode."""

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """The figures of all batches since the last call."""

    def pictures(self, net: nn.Module, batch: Any) -> Tensor | None:
        """Predictions to look at, (B,3,H,W) uint8 RGB; None where a task has none."""
        return None


@dataclass(frozen=True)
class Parts:
    """What is trained: a network, the card of the result, what it learns by, and maps from `loading.Key` to items.
    A set's `collate` makes its batches, where it has one. keep: the epoch that validates best, or the last one,
    whose figures nothing was chosen by."""

    net: nn.Module
    objective: Objective
    train: Any
    val: Any
    keep: Literal["best", "last"] = "best"


@dataclass(frozen=True)
class Recipe:
    """How a task's networks are trained.

    settings: the class of its settings, with the task's defaults.
    read: from a folder and the settings the part to learn from and the part that is held out.
    run: of a `Training`, which has data, settings and folder; most simply `fit(Parts(...), training, told)`. Or the
        place of that function, "module:function", which is imported, and torch with it, when it is run.
    settle: the settings as they will be used. Raises for what cannot be, before torch is imported.
    again: the option that starts a new run from a run's weights.
    doc: what the command says of itself.
    """

    settings: type[Settings]
    read: Callable[[Path, Any], tuple[Split, Split]]
    run: str | Callable[[Training, Told], Trained]
    settle: Callable[[Any], Any] = lambda settings: settings
    again: str = "--weights"
    doc: str = ""
