"""Training of classifiers: the objective, where the network starts, the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multilabel_average_precision, multilabel_f1_score
from torchvision.transforms import v2

from vision import zoo
from vision.card import Card, Input
from vision.classic import CLASSIC
from vision.errors import UsageError
from vision.nets import build
from vision.train.captions import SHOWN, captioned, found_for
from vision.train.classify import ClassifySettings
from vision.train.distil import Features, Teacher
from vision.train.fit import fit
from vision.train.initialise import initialise
from vision.train.loading import of_all
from vision.train.picture_set import HeldOutPictures, TrainPictures, resize_of
from vision.train.recipe import Objective, Parts, Told, Trained
from vision.train.start import begin_as_namesakes, head_of, load_but_head, namesakes, regularise
from vision.weights import resolve

if TYPE_CHECKING:
    from vision.train.training import Training

_AUXILIARY = 0.3                       # weight of a classifier beside, where the network does not say


class Classification(Objective):
    """One of the losses, over pictures that may be mixed; judged by top-1 and top-5.

    settings: what is mixed, and the loss. weights: (C,) of the classes, or None. teacher: whose answers are learnt,
    too, features: what its layers say; or None.
    """

    words: ClassVar[Mapping[str, str]] = {"top1": "top-1"}

    def __init__(
        self, card: Card, settings: ClassifySettings, weights: Tensor | None = None, teacher: Teacher | None = None,
        features: Features | None = None,
    ) -> None:
        super().__init__(card)
        self.settings, self.weights, self.classes = settings, weights, len(card.classes)
        self.teacher, self.features = teacher, features
        mixers = [kind(alpha=alpha, num_classes=self.classes)
                  for kind, alpha in ((v2.MixUp, settings.mixup), (v2.CutMix, settings.cutmix)) if alpha]
        self.mixed = v2.RandomChoice(mixers) if mixers else None
        self._seen: list[tuple[Tensor, Tensor]] = []     # logits (C,) and labels of each picture

    def loss(self, net: nn.Module, batch: Any) -> dict[str, Tensor]:
        """The loss, those of classifiers beside, where the network has some, and what the teacher says of the same
        pictures."""
        x, labels = self.inputs(batch[0]), batch[1]
        if self.mixed is not None:
            x, labels = self.mixed(x, labels)
        logits = net(x)
        terms = self._by_labels(net, logits, labels)
        if self.teacher is None:
            return terms
        share = self.settings.teaching
        soft = self.teacher.loss(logits if isinstance(logits, Tensor) else logits[0], batch[0])
        terms = {**{name: (1 - share) * term for name, term in terms.items()}, "teacher": share * soft}
        if self.features is not None:
            terms["features"] = self.settings.features * self.features.loss(x)
        return terms

    def _by_labels(self, net: nn.Module, logits: Any, labels: Tensor) -> dict[str, Tensor]:
        own = getattr(net, "criterion", None)            # of a paper that has one
        if own is not None and self.settings.loss == "cross-entropy" and labels.ndim == 1:
            return {"own": own(logits.float(), labels)}
        named = self.settings.loss.replace("-", "_")
        if isinstance(logits, Tensor):
            return {named: self.criterion(logits.float(), labels)}
        main, *beside = logits
        share = float(getattr(net, "aux_weight", _AUXILIARY))
        return {named: self.criterion(main.float(), labels),
                "beside": share * torch.stack([self.criterion(one.float(), labels) for one in beside]).sum()}

    def criterion(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of logits (B,C) for labels (B,), or (B,C) with each class's share."""
        settings = self.settings
        weights = None if self.weights is None else self.weights.to(logits.device)
        if settings.loss == "cross-entropy" and not settings.multilabel:
            return F.cross_entropy(logits, labels, weights, label_smoothing=settings.smoothing)
        wanted = labels if labels.ndim == 2 else F.one_hot(labels, self.classes).to(logits.dtype)
        smoothed = wanted * (1 - settings.smoothing) + settings.smoothing / (
            2 if settings.multilabel or settings.loss == "bce" else self.classes)
        each = torch.ones(self.classes, device=logits.device) if weights is None else weights
        if settings.multilabel or settings.loss == "bce":
            losses = F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
            if settings.loss == "focal":
                losses = losses * (logits.sigmoid() - smoothed).abs() ** settings.gamma
            return (losses * each).sum(1).mean()
        log = logits.log_softmax(1)
        return -(smoothed * (1 - log.exp()) ** settings.gamma * log * each).sum(1).mean()

    def update(self, net: nn.Module, batch: Any) -> None:
        """Keep the logits."""
        self._seen += zip(net(self.inputs(batch[0])).float().cpu(), batch[1].cpu(), strict=True)

    def pictures(self, net: nn.Module, batch: Any) -> Tensor:
        """Each with the class that was found for it; of several classes a picture with those above one half."""
        shown = batch[0][:SHOWN]
        logits, truth = net(self.inputs(shown)).float().cpu(), batch[1][:SHOWN].cpu()
        if not self.settings.multilabel:
            return captioned(shown, *found_for(logits.softmax(1), truth, self.card.classes))
        said = logits > 0
        lines = [" ".join(self.card.classes[i] for i in row.nonzero()[:, 0].tolist()) or "none" for row in said]
        return captioned(shown, lines, (said == truth.bool()).all(1).tolist())

    def figures(self) -> dict[str, float]:
        """top1, top5 (of more than five classes) and the loss; with several classes a picture map and f1."""
        logits, labels = (torch.stack(part) for part in zip(*of_all(self._seen, self.held), strict=True))
        self._seen.clear()
        if self.settings.multilabel:
            there, probs = labels.long(), logits.sigmoid()
            known = there.any(0)                         # a class of which nothing is held out has no figure
            each = [of(probs, there, self.classes, average="none")[known]
                    for of in (multilabel_average_precision, multilabel_f1_score)]
            return {
                "map": float(each[0].mean()), "f1": float(each[1].mean()),
                "loss": float(F.binary_cross_entropy_with_logits(logits, labels)),
            }
        best = logits.topk(min(5, self.classes), 1).indices == labels[:, None]
        shares = {"top1": float(best[:, 0].float().mean())}
        if self.classes > 5:
            shares["top5"] = float(best.any(1).float().mean())
        return {**shares, "loss": float(F.cross_entropy(logits, labels))}


class _Several(Classification):
    """Several classes a picture; judged by mAP."""

    words: ClassVar[Mapping[str, str]] = {"map": "mAP", "f1": "F1"}


def start(settings: ClassifySettings, names: tuple[str, ...], title: str, pictures: int) -> tuple[nn.Module, Card]:
    """The network with what it starts from, and the card of what it will be.

    Raises ModelError for a name that there is not, WeightsError for weights of another network, UsageError for a side
    that the network does not take."""
    card = _base(settings)
    side = settings.side or card.input.size_wh[0]
    classes = len(names)
    config = {**card.config, "classes": classes, **({"multilabel": True} if settings.multilabel else {})}
    net = build(card.net, **config)
    head = head_of(net, classes)
    weights = settings.weights or (resolve(card) if settings.fine_tunes else None)
    if weights is not None:
        load_but_head(net, weights, head)
        if settings.weights is None and (same := namesakes(names, card.classes)):
            begin_as_namesakes(net, weights, head, same)
        net.pre_trained = tuple(p for n, p in net.named_parameters() if not n.startswith(head))  # type: ignore
    regularise(net, settings.dropout, settings.stochastic_depth)
    taught = f", taught by {settings.teacher}" if settings.teacher else ""
    made = replace(
        card, name=title, config=config, file="best.safetensors", licence="as the training data's", sha256="", url=None,
        source=f"{settings.model} trained on {pictures} pictures{taught}", names=names, figures={}, measured_on="",
        int8=None, input=replace(card.input, size_wh=(side, side), resize=resize_of(settings)),
    )
    _refuse_side(net, side, settings.model)
    return net, made


def _base(settings: ClassifySettings) -> Card:
    """The card of the network that `model` names."""
    name = settings.model
    if name not in CLASSIC:
        return zoo.find(name, "classify")
    side = CLASSIC[name].side
    return Card(
        name=name, task="classify", net="classic", file="", licence="", source=CLASSIC[name].paper,
        input=Input((side, side), "crop", crop=1.0 if side == 32 else 0.875), config={"arch": name},
    )


def _refuse_side(net: nn.Module, side: int, name: str) -> None:
    import copy

    with torch.inference_mode():
        try:
            copy.deepcopy(net).to("meta").eval()(torch.empty(1, 3, side, side, device="meta"))
        except RuntimeError as error:
            raise UsageError(f"{name} does not take pictures of {side}x{side}: leave --side out, or take another "
                             "network.") from error


def train(training: Training, told: Told) -> Trained:
    """Train a classifier. The last epoch's weights are kept, so that the figures on what is held out are no choice
    of theirs; with `patience` the best ones are, and the run stops early."""
    settings: ClassifySettings = training.settings
    learned, held = training.data
    net, card = start(settings, training.names, training.folder.name, len(learned))
    kind = _Several if settings.multilabel else Classification
    weights = _weights(learned.counts) if settings.balance == "weights" else None
    teacher = Teacher(settings.teacher, training.names, settings.temperature) if settings.teacher else None
    features = Features(settings.teacher, net) if settings.features else None
    objective = kind(card, settings, weights, teacher, features)
    sets = TrainPictures(learned, card, settings), HeldOutPictures(held, card, settings.multilabel)
    if settings.init != "own":
        first = torch.stack([sets[0][i, i][0] for i in range(min(settings.batch, len(learned)))])
        initialise(net, settings.init, objective.inputs(first))
    if settings.find_lr:
        from vision.train.lr_finder import found

        training.settings = settings = replace(settings, lr=found(net, objective, sets[0], settings, training.folder))
    keep: Any = "best" if settings.patience else "last"
    try:
        return fit(Parts(net, objective, *sets, keep=keep), training, told)
    finally:
        if teacher is not None:
            teacher.close()


def _weights(counts: tuple[int, ...]) -> Tensor:
    """Of the classes: one over how many pictures there are, with a mean of 1 over the pictures."""
    seen = torch.tensor(counts, dtype=torch.float32)
    return seen.sum() / (len(counts) * seen.clamp(min=1))
