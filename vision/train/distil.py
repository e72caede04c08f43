"""What a teacher sees in pictures, as a part of a classifier's loss.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network": probabilities softened by a temperature say which
classes are alike. Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent": the teacher
looks at the very crop that the student sees.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision.card import alike
from vision.errors import UsageError
from vision.tasks.classify import Classifier

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
