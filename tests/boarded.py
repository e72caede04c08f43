"""What TensorBoard finds in the folder of a run."""

from __future__ import annotations

from pathlib import Path


def board_lacks(run: Path, *, filters: bool = True) -> set[str]:
    """What a page of a training should have and has not: the graph, the augmented batch, predictions, filters (of a
    network whose first layer is on colours), histograms, learning rate, losses and figures."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(run / "log"))
    log.Reload()
    tags = log.Tags()
    images = set(tags["images"])
    there = {
        "graph": bool(tags["graph"]), "batch": "train/batch" in images, "predictions": "val/predictions" in images,
        "filters": "filters" in images or not filters, "histograms": len(tags["histograms"]) > 1,
        "rate": any(tag.startswith("rate/") for tag in tags["scalars"]),
        "losses": any(tag.startswith("train/") for tag in tags["scalars"]),
        "figures": any(tag.startswith("val/") for tag in tags["scalars"]),
    }
    return {name for name, found in there.items() if not found}
