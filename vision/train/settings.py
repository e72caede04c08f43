"""Every setting of a training run, in one place: saved with it and compared when it is resumed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from vision.errors import UsageError

# what may change between a run and its continuation without making it another run
_FREE = frozenset({"workers", "threads", "devices", "patience"})


@dataclass(frozen=True)
class Settings:
    """How a network is trained, whatever its task.

    epochs, batch: passes over the data, pictures a step. lr: the highest learning rate, for a batch
    of that size. backbone_lr: factor for the parameters of `net.encoder`, which start from
    ImageNet. optimiser, weight_decay: SGD has momentum 0.9; norms and biases do not decay.
    schedule: of the learning rate, once a step, after `warmup` epochs of linear rise: cosine and
    poly (power 0.9) end at 0, step divides by ten at 60 % and 85 %. ema: decay of the averaged
    weights that are validated and saved, 0 for none. clip: the largest norm of the gradient, 0 for
    any. val_every: epochs from one validation to the next. patience: validations without a better
    figure before the run stops, 0 for never. precision: of the forward pass; parameters stay
    float32. seed: of everything that is drawn. workers:
    processes that load; devices above one train with DDP. threads: of torch, 0 for its own choice.
    """

    epochs: int = 50
    batch: int = 8
    lr: float = 1e-3
    backbone_lr: float = 1.0
    optimiser: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 0.01
    schedule: Literal["cosine", "poly", "step", "constant"] = "cosine"
    warmup: float = 1.0
    ema: float = 0.0
    clip: float = 0.0
    val_every: int = 1
    patience: int = 0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: int = 0
    workers: int = 0
    devices: int = 1
    threads: int = 0

    def __post_init__(self) -> None:
        lowest = {"epochs": 1, "batch": 1, "val_every": 1, "devices": 1, "workers": 0, "patience": 0}
        for name, low in lowest.items():
            if getattr(self, name) < low:
                raise UsageError(f"{name} must be at least {low}; got {getattr(self, name)}.")
        if not self.lr > 0:
            raise UsageError(f"lr must be above 0; got {self.lr}.")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema is a decay in 0..1, for example 0.99; got {self.ema}.")

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)


def differences(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What would make a resumed run another run: `lr 0.001 -> 0.01`, one entry a setting."""
    names = sorted((saved.keys() | now.keys()) - _FREE)
    return [f"{n} {saved.get(n)} -> {now.get(n)}" for n in names if saved.get(n) != now.get(n)]
