"""A graph that is given a picture and prompts, on onnxruntime: EfficientSAM's three inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from vision.errors import ModelError, WeightsError
from vision.types import Floats

_INPUTS = ("batched_images", "batched_point_coords", "batched_point_labels")
_OUTPUTS = ("output_masks", "iou_predictions")
_POINTS = 6                              # of an object, as EfficientSAM takes them
_AT_ONCE = 16                            # objects whose masks are in memory together: 200 MB at 1024 x 1024


def opened(path: Path) -> ort.InferenceSession:
    """A graph of several inputs, on the processor. Raises WeightsError for a file that onnxruntime cannot run."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        why = " ".join(str(error).split())[:300]
        raise WeightsError(f"{str(path)!r} cannot be run by onnxruntime: {why}") from error


class PromptedEngine:
    """A file that gives masks of what is pointed at, on the processor, in float32.

    input_wh: the only picture size that the graph takes, or None: any. most: objects that it takes in a run, and
    points of one.

    Raises WeightsError for a file that is no ONNX, ModelError for a graph of other inputs.
    """

    backend, device, precision, label = "onnxruntime", "cpu", "fp32", "onnxruntime CPU fp32"

    def __init__(self, path: Path) -> None:
        self._session = opened(path)
        shapes = {one.name: one.shape for one in self._session.get_inputs()}
        outputs = {one.name for one in self._session.get_outputs()}
        if set(shapes) != set(_INPUTS) or not outputs.issuperset(_OUTPUTS):
            raise ModelError(
                f"{str(path)!r} takes {', '.join(shapes)} and gives {', '.join(sorted(outputs))}; expected "
                f"{', '.join(_INPUTS)}, and {', '.join(_OUTPUTS)}: EfficientSAM as one graph."
            )
        _, _, height, width = (side if isinstance(side, int) else 0 for side in shapes[_INPUTS[0]])
        self.input_wh = (width, height) if width and height else None
        _, objects, points, _ = (side if isinstance(side, int) else 0 for side in shapes[_INPUTS[1]])
        self.most = objects or _AT_ONCE, points or _POINTS
        self._fixed = objects > 0
        self._labels_have = len(shapes[_INPUTS[2]])

    def __call__(self, picture: Floats, points: Floats, labels: Floats) -> tuple[Floats, Floats]:
        """Run one picture with the prompts of up to `most` objects, and wait.

        picture: (1,3,H,W) RGB in 0..1. points: (Q,P,2) xy in its pixels. labels: (Q,P): 1 on the object, 0 beside it,
            2 and 3 a box's corners, -1 none.
        Returns logits (Q,C,h,w) of C masks of each object, and the IoU (Q,C) that the network expects of each.
        """
        count, (most, width) = len(points), self.most
        rows = most if self._fixed else count
        coords = np.full((1, rows, width, 2), -1, np.float32)
        kinds = np.full((1, rows, width), -1, np.float32)
        coords[0, :count, : points.shape[1]] = points
        kinds[0, :count, : labels.shape[1]] = labels
        kinds = kinds.reshape(*kinds.shape, *[1] * (self._labels_have - 3))
        masks, ious = self._session.run(list(_OUTPUTS), dict(zip(_INPUTS, (picture, coords, kinds), strict=True)))
        return masks[0, :count], ious[0, :count]

    def close(self) -> None:
        """Give the memory back."""
        del self._session
