"""Models of one's own: functions, torch modules and ONNX graphs give what the same sums by hand give."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vision import Classifier, Detect, Detections, Detector, Run, Segmenter, Track
from vision.errors import EngineError, ModelError, UsageError
from vision.tasks.decoders import DECODERS
from vision.types import Frame, Image

RNG = np.random.default_rng(4)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def red_things(image: Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes around what is red; the score is how much of the box is."""
    red = ((image[..., 2] > 200) & (image[..., 1] < 50)).astype(np.uint8)
    stats = cv2.connectedComponentsWithStats(red)[2][1:]
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in stats], np.float32).reshape(-1, 4)
    return boxes, np.array([area / (w * h) for _, _, w, h, area in stats], np.float32), np.zeros(len(stats), int)


def scene(*corners: tuple[int, int], size_wh: tuple[int, int] = (201, 107)) -> Image:
    image = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    for x, y in corners:
        image[y : y + 20, x : x + 30] = (0, 0, 255)
    return image


def test_a_function_is_a_detector_in_pixels_of_the_picture() -> None:
    detector = Detector.from_function(red_things, ["red"])
    found = detector(scene((5, 7), (100, 60)))
    assert sorted(found.boxes.tolist()) == [[5, 7, 35, 27], [100, 60, 130, 80]]
    assert found.scores.tolist() == [1, 1]
    assert len(detector(scene(size_wh=(33, 21)))) == 0
    several = detector.batch([scene((5, 7)), scene(), scene((0, 0), (50, 0), (99, 9))])      # of any number of boxes
    assert [len(one) for one in several] == [1, 0, 3]
    assert detector(scene((5, 7))[:, ::-1]).boxes.tolist() == [[166, 7, 196, 27]]            # a view of an array


def test_it_runs_like_any_other_with_a_tracker_and_names() -> None:
    frames = [Frame(scene((5 + 4 * n, 7)), n, n / 10, "made") for n in range(12)]
    with Run(frames, [Detect(Detector.from_function(red_things, ["red"])), Track()]) as run:
        records = [item.record for item in run]
    assert {line["detect"]["objects"][0]["label"] for line in records} == {"red"}
    assert records[0]["detect"]["model"] == "red_things"
    assert {line["track"]["objects"][0]["id"] for line in records[3:]} == {1}


def test_functions_classify_and_segment() -> None:
    classifier = Classifier.from_function(lambda image: np.array([1 - image.mean() / 255, image.mean() / 255]),
                                          ["dark", "bright"])
    assert classifier(np.full((5, 9, 3), 255, np.uint8)).probs.tolist() == [0, 1]
    segmenter = Segmenter.from_function(lambda image: image[..., 2] > 200, ["rest", "red"])
    image = scene((5, 7))
    assert (segmenter(image).labels == (image[..., 2] > 200)).all()
    assert (segmenter(image, tiled=True).labels == segmenter(image).labels).all()


def test_a_function_sees_the_whole_picture_once_whatever_is_asked() -> None:
    seen: list[tuple[int, ...]] = []
    detector = Detector.from_function(lambda image: seen.append(image.shape) or red_things(image), ["red"])
    assert detector(scene((5, 7)), tiles=True).boxes.tolist() == [[5, 7, 35, 27]]
    classifier = Classifier.from_function(lambda image: seen.append(image.shape) or [0.25, 0.75], ["a", "b"])
    assert classifier(scene(), crop="ten").probs.tolist() == [0.25, 0.75]
    assert seen == [(107, 201, 3)] * 2


def test_what_is_no_model_is_told() -> None:
    with pytest.raises(UsageError, match="a function of a picture; got int"):
        Detector.from_function(3)
    with pytest.raises(UsageError, match=r"names are several, such as \('lamp',\)"):
        Detector.from_function(red_things, "lamp")


@pytest.mark.parametrize(("make", "what"), [
    (lambda: Detector.from_function(lambda image: image), r"'<lambda>' gave something else.*expected Detections, or"),
    (lambda: Detector.from_function(lambda image: ([[1, 2, 3]], [1.0], [0])), "Detections.boxes must have shape"),
    (lambda: Detector.from_function(lambda image: ([[1, 2, 3, 4]], [], [])), "must have 1 rows"),
    (lambda: Detector.from_function(lambda image: ([[1, 2, np.nan, 4]], [0.9], [0])), "left no larger than right"),
    (lambda: Detector.from_function(lambda image: ([[9, 2, 3, 4]], [0.9], [0])), "left no larger than right"),
    (lambda: Detector.from_function(lambda image: ([[1, 2, 3, 4]], [1.5], [0])), r"scores in 0\.\.1"),
    (lambda: Detector.from_function(lambda image: ([[1, 2, 3, 4]], [np.nan], [0])), r"scores in 0\.\.1"),
    (lambda: Detector.from_function(lambda image: ([[1, 2, 3, 4]], [0.9], [-1])), "labels from 0"),
    (lambda: Detector.from_function(lambda image: ([[1, 2, 3, 4]], [0.9], [2]), ["a", "b"]), "of the 2 names; got 2"),
    (lambda: Classifier.from_function(lambda image: [3.0, -1]), "a probability a class"),
    (lambda: Classifier.from_function(lambda image: [0.5, 0.5], ["a", "b", "c"]), "each of 3 names; got 2"),
    (lambda: Segmenter.from_function(lambda image: image[..., 0] * 0 + 2, ["a", "b"]), "of the 2 names, or 255.*got 2"),
    (lambda: Segmenter.from_function(lambda image: image), "a class a pixel"),
    (lambda: Segmenter.from_function(lambda image: image[..., 0] * 1.0), "a class a pixel"),
])
def test_what_is_no_result_of_the_task_is_told(make: object, what: str) -> None:
    with pytest.raises(ModelError, match=what):
        make()(scene())


def test_what_the_function_raises_comes_through() -> None:
    def broken(image: Image) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        Detector.from_function(broken)(scene())


class Net(nn.Module):
    """Cells of 8 pixels: four distances to the sides and two scores each, (B,6,h/8,w/8)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def cells(table: np.ndarray) -> Detections:
    """The best class of each cell, boxes in pixels of the input."""
    assert table.ndim == 3
    y, x = np.mgrid[: table.shape[1], : table.shape[2]] * 8 + 4
    left, top, right, bottom = np.abs(table[:4]) * 8
    boxes = np.stack([x - left, y - top, x + right, y + bottom], -1).reshape(-1, 4)
    scores = 1 / (1 + np.exp(-table[4:].reshape(2, -1)))
    return Detections(boxes.astype(np.float32), scores.max(0), scores.argmax(0))


def by_hand(net: nn.Module, image: Image, size_wh: tuple[int, int]) -> np.ndarray:
    small = cv2.resize(image, size_wh)
    rgb = (small[..., ::-1].astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    with torch.inference_mode():
        return np.asarray(net.eval()(torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None])[0])


@pytest.fixture
def picture() -> Image:
    return cv2.resize(RNG.integers(0, 256, (9, 13, 3), np.uint8), (128, 96), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("backend", ["torch", "openvino", "onnxruntime", "auto"])
def test_a_torch_module_runs_on_every_back_end(picture: Image, backend: str) -> None:
    net = Net().train()
    detector = Detector.from_module(
        net, ["a", "b"], (64, 64), decoder=cells, mean=MEAN, std=STD, min_score=0.3, backend=backend, precision="fp32")
    wanted = cells(by_hand(Net(), picture, (64, 64)))
    wanted = wanted[np.argsort(-wanted.scores, kind="stable")]
    found = detector(picture)
    keep = wanted.scores >= 0.3
    assert len(found) == keep.sum() > 10
    np.testing.assert_allclose(found.scores, wanted.scores[keep], atol=2e-3)
    scaled = np.clip(wanted.boxes[keep] * [2, 1.5, 2, 1.5], 0, [128, 96, 128, 96])
    np.testing.assert_allclose(found.boxes, scaled, atol=0.06)
    assert net.training                                               # it was copied
    assert [len(one) for one in detector.batch([picture, picture])] == [len(found)] * 2
    detector.close()


class Untraceable(nn.Module):
    """What no exporter follows."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.sort(x.mean((2, 3)).detach().cpu().numpy())) * self.scale


def test_a_module_that_cannot_be_exported_runs_on_torch() -> None:
    classifier = Classifier.from_module(Untraceable(), ["a", "b", "c"], (8, 8), mean=(0, 0, 0), std=(1, 1, 1))
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 2] = 255                                               # red: 0, 0, 1 when it is sorted
    powers = np.exp([0, 0, 2])
    np.testing.assert_allclose(classifier(image).probs, powers / powers.sum(), atol=1e-5)
    classifier.close()


def test_a_modules_logits_become_classes_of_pixels(picture: Image) -> None:
    net = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        net.weight.copy_(torch.eye(3)[:, :, None, None])              # the class is the strongest colour
        net.bias.zero_()
    segmenter = Segmenter.from_module(net, ["r", "g", "b"], (128, 96), mean=(0, 0, 0), std=(1, 1, 1))
    clear = np.sort(picture, axis=-1)
    sure = clear[..., 2].astype(int) - clear[..., 1] > 1
    assert (segmenter(picture).labels == picture[..., ::-1].argmax(-1))[sure].all()
    segmenter.close()


def test_tiles_of_a_module_whose_map_is_coarser_than_its_input() -> None:
    class Coarse(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            red = nn.functional.avg_pool2d(x[:, :1], 4)
            return torch.cat([1 - red, red], 1)

    image = np.zeros((64, 96, 3), np.uint8)
    image[16:40, 8:88, 2] = 255
    with Segmenter.from_module(Coarse(), ["rest", "red"], (32, 32), mean=(0, 0, 0), std=(1, 1, 1)) as segmenter:
        np.testing.assert_array_equal(segmenter(image, tiled=True).labels, image[..., 2] > 0)


def test_an_onnx_file_with_a_decoder_in_python(picture: Image, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    torch.onnx.export(Net().eval(), (torch.zeros(1, 3, 64, 64),), str(path), dynamo=False)
    wanted = Detector.from_module(Net(), (), (64, 64), decoder=cells, mean=MEAN, std=STD, precision="fp32")(picture)
    for size_wh in ((64, 64), (640, 640)):                            # the graph's own size rules
        detector = Detector.from_onnx(path, ["a", "b"], size_wh, decoder=cells, mean=MEAN, std=STD, precision="fp32")
        found = detector(picture)
        np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.06)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=2e-3)
        detector.close()
    swapped = Detector.from_onnx(path, decoder=cells, mean=MEAN[::-1], std=STD[::-1], channels="BGR", precision="fp32")
    np.testing.assert_allclose(swapped(picture[..., ::-1]).boxes, wanted.boxes, atol=0.06)
    swapped.close()


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs decoder="):
        Detector.from_module(Net(), ["a", "b"], (64, 64))
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        Detector.from_onnx(tmp_path / "nothing.onnx", decoder=cells)
    with pytest.raises(UsageError, match="RGB or BGR"):
        Detector.from_onnx(tmp_path / "nothing.onnx", decoder=cells, channels="GRAY")
    own = Detector.from_module(Net(), ["a", "b"], (64, 64), decoder=cells)
    with pytest.raises(EngineError, match="was a module in memory"):
        Detector.load(own.card)
    assert "EngineError" not in str(own)
    own.close()


@pytest.mark.realdata
def test_a_decoder_in_python_gives_what_the_built_in_one_does(data: Path) -> None:
    path = data.parent / "weights/teachers/yolox/yolox_nano.onnx"

    def decode(table: np.ndarray) -> Detections:
        return DECODERS["yolox"]((table[None],), 0, 0.05, (416, 416))

    image = cv2.imread(str(sorted((data / "coco128").rglob("*.jpg"))[0]))
    mine = Detector.from_onnx(path, Detector.load(path).names, decoder=decode, resize="corner", mean=(0, 0, 0),
                              std=(1 / 255,) * 3, channels="BGR", precision="fp32")
    theirs = Detector.load(path, precision="fp32")
    found, wanted = mine(image, min_score=0.3, max_iou=0.45), theirs(image, min_score=0.3)
    assert len(found) == len(wanted) > 0
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.11)
    assert (found.labels == wanted.labels).all()
