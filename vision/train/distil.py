"""What a teacher sees in pictures, as a part of a classifier's loss.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network": probabilities softened by a temperature say which
classes are alike. Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent": the teacher
looks at the very crop that the student sees. Romero et al. 2015, "FitNets: Hints for Thin Deep Nets": what its layers
say is learnt, too, which a few pictures suffice for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.card import alike
from vision.engine.program import program_of
from vision.errors import UsageError
from vision.nets.narrow import sizes
from vision.tasks.classify import Classifier
from vision.zoo import find

_FLOOR = 1e-9                            # of a probability, whose logarithm stands for a logit


class Teacher:
    """A classifier that says how likely it finds each class.

    model: as `Classifier.load` takes it: of this suite, an ONNX file, an ensemble. names: the student's classes, all of
    which the teacher knows. temperature: above 0; the higher, the more the classes count that are not the best.

    Raises UsageError for a class that it does not know, ModelError and WeightsError for a model that is not there.
    """

    def __init__(self, model: str, names: tuple[str, ...], temperature: float) -> None:
        self._classifier, self.temperature = Classifier.load(model), temperature
        own = [alike(name) for name in self._classifier.names]
        strange = [name for name in names if alike(name) not in own]
        if strange:
            self.close()
            raise UsageError(
                f"the teacher {model!r} does not know {', '.join(strange[:5])}. It knows: "
                f"{', '.join(self._classifier.names[:20])}. Take one that was trained on these classes."
            )
        self._columns = [own.index(alike(name)) for name in names]

    def look(self, pictures: Tensor) -> Tensor:
        """Logits (B,C), up to a constant each, of pictures (B,3,H,W) uint8 RGB."""
        images = np.ascontiguousarray(pictures.cpu().permute(0, 2, 3, 1).flip(3).numpy())
        seen = np.stack([scores.probs for scores in self._classifier.batch(list(images), crop="stretch")])
        return torch.from_numpy(np.log(np.maximum(seen[:, self._columns], _FLOOR))).to(pictures.device)

    def loss(self, logits: Tensor, pictures: Tensor) -> Tensor:
        """How far the student's logits (B,C) are from what the teacher says of the same pictures: the divergence of
        both, softened, times the temperature's square, so that its gradient is as large as that of labels."""
        soft = F.log_softmax(self.look(pictures).float() / self.temperature, 1)
        mine = F.log_softmax(logits.float() / self.temperature, 1)
        return F.kl_div(mine, soft, reduction="batchmean", log_target=True) * self.temperature**2

    def close(self) -> None:
        """Give its engine back."""
        self._classifier.close()


class Features:
    """What the layers of a network say, to be learnt by those of the same name and width in another one.

    model: a network of torch, as `zoo.find` takes it. student: which learns; its layers are watched from now on.
    Watched are norms, behind which refitted layers say what they did before; convolutions where there is no norm.
    Raises UsageError where the two have no such layer in common.
    """

    def __init__(self, model: str, student: nn.Module) -> None:
        card = find(model, "classify")
        if card.form != "network":
            raise UsageError(f"the layers of {model!r} cannot be watched: it is a file of form {card.form!r}. Leave "
                             "--features out, or take a network of torch.")
        self._teacher: nn.Module = program_of(card).module().net.requires_grad_(False)
        theirs = dict(self._teacher.named_modules())
        kind: Any = nn.BatchNorm2d if any(isinstance(one, nn.BatchNorm2d) for one in theirs.values()) else nn.Conv2d
        self._names = [name for name, layer in student.named_modules() if isinstance(layer, kind)
                       and sizes(layer)[:1] == sizes(theirs.get(name, nn.Identity()))[:1]]
        if not self._names:
            raise UsageError(f"no layer of {model!r} has the name and the width of one of the student's: leave "
                             "--features out, or take a network of the same kind.")
        self._said: list[dict[str, Tensor]] = [{}, {}]       # by the teacher, by the student
        for name in self._names:
            for net, said in zip((self._teacher, student), self._said, strict=True):
                net.get_submodule(name).register_forward_hook(_keeper(said, name))

    def loss(self, x: Tensor) -> Tensor:
        """How far the student's layers are from the teacher's, once it has seen `x`, (B,3,H,W) normalised: squared
        differences over the teacher's variance, the mean of the layers."""
        self._teacher.to(x.device)
        with torch.no_grad():
            self._teacher(x)
        pairs = ((self._said[0][name], self._said[1][name]) for name in self._names)
        return torch.stack([F.mse_loss(mine, wanted) / wanted.var().clamp(min=1e-6) for wanted, mine in pairs]).mean()


def _keeper(said: dict[str, Tensor], name: str) -> Any:
    def keep(layer: nn.Module, given: Any, output: Tensor) -> None:
        said[name] = output

    return keep
