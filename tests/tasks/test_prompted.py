"""Masks of what is pointed at: a small graph of EfficientSAM's three inputs, whose masks are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vision import PromptedSegmenter
from vision.engine.prompted import PromptedEngine
from vision.errors import ModelError, UsageError, WeightsError
from vision.instances import Instances
from vision.types import Floats
from vision.zoo import find

torch = pytest.importorskip("torch")


class Square(torch.nn.Module):
    """Logits of what is red enough and within `sides` pixels of the middle of an object's points; it expects 0.2, 0.9
    and 0.5 of the three."""

    sides = (4.0, 16.0, 40.0)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("expected", torch.tensor([0.2, 0.9, 0.5]))

    def forward(self, images: torch.Tensor, coords: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        there = (labels.reshape(coords.shape[:3]) >= 0).float()[..., None]                # (1,Q,P,1)
        middle = (coords * there).sum(2) / there.sum(2).clamp(min=1)                      # (1,Q,2)
        ys, xs = torch.meshgrid(torch.arange(64.0) + 0.5, torch.arange(64.0) + 0.5, indexing="ij")
        far = torch.maximum((xs - middle[..., 0, None, None]).abs(), (ys - middle[..., 1, None, None]).abs())
        red = (images[:, None, 0] - 0.5) * 1000                                           # off where it is not red
        masks = torch.stack([torch.minimum(side - far, red) for side in self.sides], 2)   # (1,Q,3,64,64)
        return masks, self.expected + 0 * middle[..., :1]


def graph(path: Path, objects: int = 1, rank: int = 4, axes: dict[str, dict[int, str]] | None = None) -> Path:
    """A file with EfficientSAM's names for pictures of 64x64 and up to six points."""
    labels = torch.zeros(1, objects, 6, *[1] * (rank - 3))
    torch.onnx.export(
        Square(), (torch.zeros(1, 3, 64, 64), torch.zeros(1, objects, 6, 2), labels), path, dynamo=False,
        input_names=["batched_images", "batched_point_coords", "batched_point_labels"], dynamic_axes=axes,
        output_names=["output_masks", "iou_predictions"])
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PromptedSegmenter:
    """One object a run, and labels of four axes."""
    return _of(graph(tmp_path_factory.mktemp("sam") / "square.onnx"))


def _of(path: Path) -> PromptedSegmenter:
    return PromptedSegmenter.load(replace(find("efficientsam-ti"), file=str(path), sha256=""))


def _red(width: int = 128, height: int = 64) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 2] = 255                                         # BGR
    return picture


def test_the_best_mask_is_cut_to_the_box_that_was_given(model: PromptedSegmenter) -> None:
    boxes = np.array([[20, 10, 100, 50], [60, 20, 68, 24], [100, 40, 200, 90]], np.float32)
    found = model(_red(), boxes=boxes)                            # the graph sees it half as wide: 64x64
    assert isinstance(found, Instances)
    np.testing.assert_allclose(found.boxes, [[20, 10, 100, 50], [60, 20, 68, 24], [100, 40, 128, 64]])
    np.testing.assert_allclose(found.scores, 0.9)
    assert found.labels.tolist() == [0, 0, 0]
    rows, columns = np.nonzero(found.paste(0))                    # 16 pixels of the graph around (30, 30)
    assert (columns.min(), columns.max()) == (28, 91)             # 60 +- 32
    assert (rows.min(), rows.max()) == (14, 45)                   # 30 +- 16
    assert found.area.tolist()[:2] == [64 * 32, 8 * 4]            # the second fills its box


def test_a_point_gives_the_box_around_its_mask(model: PromptedSegmenter) -> None:
    found = model(_red(), points=np.array([[64, 32], [0, 0]], np.float32))
    np.testing.assert_allclose(found.boxes, [[32, 16, 96, 48], [0, 0, 32, 16]])
    assert found.area.tolist() == [64 * 32, 32 * 16]
    several = model(_red(), points=np.array([[[60, 30], [68, 34]]]))                      # the same middle
    np.testing.assert_allclose(several.boxes, found.boxes[:1])
    one = model(_red(), points=np.array([[[64, 32], [9, 9]]]), labels=np.array([[1, -1]]))
    np.testing.assert_allclose(one.boxes, found.boxes[:1])


def test_labels_of_points_reach_the_network() -> None:
    seen: list[tuple[Floats, Floats]] = []

    class Kept:
        input_wh, most = (64, 64), (2, 6)

        def __call__(self, picture: Floats, points: Floats, labels: Floats) -> tuple[Floats, Floats]:
            assert picture.shape == (1, 3, 64, 64)
            np.testing.assert_allclose(picture[0, :, 0, 0], [1, 0, 0])                    # RGB in 0..1
            seen.append((points, labels))
            return np.ones((len(points), 1, 16, 16), np.float32), np.ones((len(points), 1), np.float32)

        def close(self) -> None: ...

    model = PromptedSegmenter(Kept(), find("efficientsam-ti"))
    model(_red(), points=np.array([[[64, 32], [10, 10]]]), labels=np.array([[1, 0]]))
    found = model(_red(), boxes=np.array([[0, 0, 128, 64]] * 3))
    np.testing.assert_allclose(seen[0][0], [[[32, 32], [5, 10]]])
    assert seen[0][1].tolist() == [[1, 0]]
    assert [labels.tolist() for _, labels in seen[1:]] == [[[2, 3]] * 2, [[2, 3]]]        # two in a run, then one
    assert found.area.tolist() == [128 * 64] * 3                  # logits of a quarter of the sides cover it all


def test_what_is_off_has_no_area_and_nothing_has_no_rows(model: PromptedSegmenter) -> None:
    black = np.zeros((64, 128, 3), np.uint8)
    found = model(black, points=np.array([[5, 5]]))
    assert found.area.tolist() == [0]
    assert np.ptp(found.boxes) == 0
    assert model(black, boxes=np.array([[0, 0, 9, 9]])).area.tolist() == [0]
    for nothing in (model(black, boxes=np.empty((0, 4))), model(black, points=np.empty((0, 2)))):
        assert (len(nothing), nothing.masks.shape[0]) == (0, 0)
        assert nothing.frame_wh == (128, 64)


def test_a_graph_of_any_number_of_objects_takes_them_together(tmp_path: Path) -> None:
    axes = {name: {1: "objects"} for name in ("batched_point_coords", "batched_point_labels")}
    several = graph(tmp_path / "several.onnx", objects=3, rank=3, axes=axes)
    assert PromptedEngine(several).most == (16, 6)
    boxes = np.array([[i, 0, i + 40, 40] for i in range(20)], np.float32)
    model = _of(several)
    masks = model(_red(), boxes=boxes).masks
    alone = [model(_red(), boxes=box[None]).masks[0] for box in boxes]
    np.testing.assert_allclose(masks, alone, atol=1e-6)


def test_what_cannot_be_is_said(
    model: PromptedSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in (
        {}, {"boxes": np.zeros((1, 4)), "points": np.zeros((1, 2))}, {"boxes": np.zeros((1, 5))},
        {"boxes": np.full((1, 4), np.nan)}, {"points": np.zeros((1, 7, 2))}, {"points": np.zeros((1, 3))},
        {"points": np.zeros((1, 2)), "labels": np.array([[2]])}, {"boxes": np.zeros((1, 4)), "labels": np.ones((1, 2))},
    ):
        with pytest.raises(UsageError):
            model(_red(), **wrong)
    with pytest.raises(UsageError, match="uint8"):
        model(np.zeros((4, 4), np.uint8), boxes=np.zeros((1, 4)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="vision weights pull efficientsam-ti"):
        PromptedSegmenter.load()
    with pytest.raises(ModelError, match="for detect, not for prompted"):
        PromptedSegmenter.load("nanodet-g")
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match="cannot be run"):
        _of(tmp_path / "no.onnx")
    with pytest.raises(ModelError, match="batched_point_coords"):
        _of(Path(__file__).parents[2] / "weights" / "selfie.onnx")
