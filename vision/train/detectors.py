"""Which training a detector gets: by gradients, by SVMs, or somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vision.train.recipe import Told, Trained

if TYPE_CHECKING:
    from vision.train.training import Training


def train(training: Training, told: Told) -> Trained:
    """Train a detector; a YOLO of ultralytics is handed over. Raises as `Training.run` does."""
    if training.settings.yolo:
        from vision.train.yolo import train_yolo

        return train_yolo(training)
    if training.settings.net == "rcnn":
        from vision.train.rcnn import train_rcnn

        return train_rcnn(training, told)
    from vision.train.detection import train as by_gradients

    if training.settings.net == "fast_rcnn":
        from vision.train.proposals import with_proposals

        return by_gradients(training, told, with_proposals)
    return by_gradients(training, told)
