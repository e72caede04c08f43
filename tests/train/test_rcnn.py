"""R-CNN and Fast R-CNN: their parts by hand, and the chain end to end on twenty pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from sklearn.linear_model import Ridge

from tests.train.labelled import Thing, write_coco
from vision.boxes import iou
from vision.cli import app
from vision.data.detection import read_splits
from vision.engine import load
from vision.engine.program import state_dict
from vision.errors import EngineError, ModelError, WeightsError
from vision.nets.fast_rcnn import FastRCNN
from vision.nets.rcnn import CONTEXT, FEATURES, RCNN, moved, offsets_to
from vision.proposals import SelectiveSearch
from vision.soup import soup
from vision.tasks.detect import Detector
from vision.tasks.proposed import ProposalEngine
from vision.train.detect import DetectSettings
from vision.train.detection import start
from vision.train.proposals import ProposalSet, mirrored
from vision.train.regions import Rows, _mined, fit_boxes, fit_svms, ridge
from vision.train.training import Training
from vision.weights import resolve
from vision.zoo import find

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
SIZE = (96, 80)


def drawn(random: np.random.Generator) -> tuple[np.ndarray, list[Thing]]:
    """A disc of one colour and a chequered square on a noisy ground, in places of their own."""
    image = random.integers(90, 120, (SIZE[1], SIZE[0], 3), np.uint8)
    x, y, r = (int(v) for v in random.integers((18, 20, 12), (28, 58, 17)))
    cv2.circle(image, (x, y), r, (40, 40, 210), -1)
    left, top, side = (int(v) for v in random.integers((50, 4, 24), (68, 44, 28)))
    tile = np.kron(np.indices((side // 4 + 1,) * 2).sum(0) % 2, np.ones((4, 4)))[:side, :side, None]
    image[top : top + side, left : left + side] = np.where(tile > 0, (220, 230, 60), (60, 160, 20))
    return image, [Thing(0, (x - r, y - r, x + r + 1, y + r + 1)), Thing(1, (left, top, left + side, top + side))]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty to learn from and six to be judged by."""
    root, random = tmp_path_factory.mktemp("shapes"), np.random.default_rng(4)
    made = {f"{split}{i}": drawn(random) for split, count in (("train", 20), ("val", 6)) for i in range(count)}
    write_coco(root, {split: {name: (SIZE, things) for name, (_, things) in made.items() if name.startswith(split)}
                      for split in ("train", "val")}, ("disc", "square"))
    for name, (image, _) in made.items():
        cv2.imwrite(str(root / "images" / f"{name}.png"), image)
    return root


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


RCNN_SETTINGS = DetectSettings(model="rcnn", proposals=60, options={"side": 64}, threads=1)
FAST_SETTINGS = DetectSettings(
    model="fast_rcnn", proposals=60, epochs=2, batch=2, lr=2e-3, warmup=0.0, ema=0.0, threads=1, val_every=2,
    options={"zoom": 1.0, "picked": 16}, seed=1)


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An R-CNN of the twenty pictures."""
    folder = tmp_path_factory.mktemp("runs") / "rcnn"
    Training("detect", pictures, folder, RCNN_SETTINGS).run()
    return folder


@given(st.lists(st.tuples(*[st.floats(0, 50)] * 2, *[st.floats(10, 60)] * 2), min_size=2, max_size=6))
def test_offsets_move_a_box_onto_its_object(rows: list[tuple[float, ...]]) -> None:
    table = torch.tensor(rows)
    boxes = torch.cat([table[:, :2], table[:, :2] + table[:, 2:]], 1)
    objects = boxes.flip(0)
    assert torch.allclose(moved(boxes, offsets_to(boxes, objects)), objects, atol=0.02)


def test_offsets_by_hand() -> None:
    box, thing = torch.tensor([[0.0, 0.0, 10.0, 20.0]]), torch.tensor([[5.0, 5.0, 25.0, 25.0]])
    assert offsets_to(box, thing)[0].tolist() == pytest.approx([1.0, 0.25, np.log(2), 0.0])


def test_a_crop_has_sixteen_pixels_of_context_and_the_mean_outside() -> None:
    net = RCNN(2, side=227)
    x = torch.zeros(1, 3, 100, 100)
    x[..., 30:60, 20:70] = 1                                       # the box, 50x30
    crop = net.crops(x, torch.tensor([[20.0, 30.0, 70.0, 60.0]]))[0, 0]
    inside = crop > 0.5
    assert inside.any(0).nonzero()[[0, -1], 0].tolist() == pytest.approx([16, 210], abs=2)
    assert inside.any(1).nonzero()[[0, -1], 0].tolist() == pytest.approx([16, 210], abs=2)
    assert pytest.approx(16 / 227) == CONTEXT
    corner = net.crops(torch.ones(1, 3, 40, 40), torch.tensor([[0.0, 0.0, 40.0, 40.0]]))[0, 0]
    assert float(corner[:12].abs().max()) == 0                     # beyond the picture: its mean
    assert float(corner[40:180, 40:180].min()) == 1


def test_mining_keeps_what_is_hard() -> None:
    margins = np.array([-3.0, -1.1, -0.5, 0.2, -0.9, -2.0], np.float32)
    mined = _mined(margins, away=np.array([0, 1, 2, 3, 5]), kept=np.array([0, 1]))
    assert mined.tolist() == [1, 3, 2]                             # 0 is easy now; 4 is no negative; 3 is the hardest


def test_the_regression_of_boxes_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    for count in (20, 60):                                         # fewer and more rows than columns
        x, y = random.normal(1, 1, (count, 30)).astype(np.float32), random.normal(0, 1, (count, 4)).astype(np.float32)
        weights, biases = ridge(x, y, 3.0)
        theirs = Ridge(3.0).fit(x, y)
        assert np.allclose(weights, theirs.coef_, atol=1e-4)
        assert np.allclose(biases, theirs.intercept_, atol=1e-4)


def test_svms_tell_a_class_from_what_is_near_it() -> None:
    random = np.random.default_rng(1)
    count = 4000
    features = random.normal(0, 1, (count, 8))
    features[:30, 0] += 6
    features[30:60, 1] += 6
    features[60:90, 0] += 3.5                                      # hard: nearly of the first class
    overlap = np.zeros((count, 3), np.float32)
    overlap[:30, 0] = overlap[30:60, 1] = 1
    labels = np.where(np.arange(count) < 30, 0, 1)
    boxes = np.tile(np.float32([[0, 0, 10, 10]]), (count, 1))
    rows = Rows(features.astype(np.float16), overlap, boxes, boxes, labels)
    weights, biases = fit_svms(rows, 1.0, 0, lambda share: None)
    margins = features @ weights.T + biases
    assert (margins[:30, 0] > margins[:30, 1]).mean() > 0.95
    assert margins[:30, 0].min() > np.median(margins[60:90, 0])
    assert (margins[90:, 0] < 0).all()
    assert (weights[2] == 0).all()                                 # a class without an object
    assert (margins[:, 2] < -1).all()
    moves = fit_boxes(rows, 1.0)
    assert np.allclose(moves[0], 0, atol=1e-6)                     # every box is its object: none moves
    assert moves[0].shape == (12, 8)


def test_boxes_of_a_class_with_few_objects_move_as_those_of_others() -> None:
    random = np.random.default_rng(2)
    features = random.normal(0, 5, (600, 12)).astype(np.float16)
    truth = random.normal(0, 0.01, (4, 12)).astype(np.float32)
    boxes = np.tile(np.float32([[10, 20, 30, 50]]), (600, 1))
    objects = moved(torch.from_numpy(boxes), torch.from_numpy(features.astype(np.float32) @ truth.T)).numpy()
    overlap, labels = np.zeros((600, 2), np.float32), np.where(np.arange(600) < 3, 1, 0)
    overlap[np.arange(600), labels] = 0.8
    weights, _ = fit_boxes(Rows(features, overlap, boxes, objects, labels), 1.0)
    for of_class in weights.reshape(2, 4, 12):
        assert np.abs(of_class - truth).max() < 0.004             # three objects alone would give far less than 0.01


def test_a_dense_detector_s_encoder_describes_crops() -> None:
    settings = DetectSettings(
        model="rcnn", options={"side": 64, "last": False}, encoder_weights=str(resolve(find("gfl-voc"))))
    net, card = start(settings, ("a", "b"))
    assert isinstance(net, RCNN)
    assert card.input.mean == find("gfl-voc").input.mean           # what the encoder was trained with
    state = state_dict(resolve(find("gfl-voc")))
    name = "features.17.conv.2.weight"
    assert torch.equal(net.encoder.state_dict()[name], state[f"encoder.{name}"].float())
    with torch.inference_mode():
        rows = net.eval().features(torch.rand(1, 3, 60, 60), torch.tensor([[5.0, 5.0, 40.0, 50.0]]))
    assert rows.shape == (1, 1600)
    assert (rows[:, 320:].view(4, 320) - rows[:, :320]).abs().max() > 0.01     # quarters differ from the whole


def test_the_chain_from_pictures_to_boxes(run: Path, pictures: Path, tmp_path: Path) -> None:
    figures = json.loads((run / "curve.jsonl").read_text())
    assert figures["val/ap50"] > 0.6
    card = find(str(run), "detect")
    assert (card.boxes.proposals, card.boxes.max_iou, card.net) == (60, 0.3, "rcnn")
    truth = read_splits(pictures)[1].pictures[0]
    with Detector.load(str(run)) as detector:
        found = detector(cv2.imread(str(truth.path)), min_score=0.3)
        assert detector.engine.spent["proposals"] > 0
        assert detector.engine.spent["network"] > 0
    for label in (0, 1):
        assert iou(truth.boxes[truth.labels == label], found.boxes[found.labels == label]).max() > 0.5
    told = tmp_path / "found.jsonl"
    done = CliRunner().invoke(app, ["detect", str(truth.path), "--model", str(run), "--jsonl", str(told), "-o",
                                    str(tmp_path / "drawn.png")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert json.loads(told.read_text().splitlines()[0])["detect"]["backend"] == "torch"


def test_a_killed_run_goes_on_with_the_next_picture(run: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vision.train import rcnn

    (run / "features" / "000019.npz").unlink()
    described, honest = [], rcnn.describe
    monkeypatch.setattr(rcnn, "describe", lambda *given: described.append(1) or honest(*given))
    before = state_dict(run / "best.safetensors")
    Training("detect", pictures, run, RCNN_SETTINGS, resume=True).run()
    assert len(described) == 1
    after = state_dict(run / "best.safetensors")
    assert [name for name in before if not before[name].equal(after[name])] == []


@pytest.mark.slow
def test_fast_rcnn_learns_and_is_run(pictures: Path, tmp_path: Path) -> None:
    trained = Training("detect", pictures, tmp_path / "run", FAST_SETTINGS).run()
    curve = [json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines()]
    losses = [line["train/loss_classifier"] + line["train/loss_box_reg"] for line in curve]
    assert losses[1] < 0.7 * losses[0]
    assert trained.figures["ap50"] >= 0
    with Detector.load(str(tmp_path / "run")) as detector:
        found = detector(cv2.imread(str(pictures / "images" / "val0.png")), min_score=0.02)
        assert len(found)
        assert (found.boxes[:, 2] <= SIZE[0]).all()
        assert np.unique(found.labels).tolist() in ([0], [1], [0, 1])
    with pytest.raises(WeightsError, match="differs from the first in its net"):
        soup([tmp_path / "run" / "best.safetensors", _other(tmp_path)], tmp_path / "soup.safetensors")


def _other(folder: Path) -> Path:
    """A file of another network with the same classes."""
    from vision.train.detection import start
    from vision.train.fit import save_weights

    net, card = start(DetectSettings(model="gfl", encoder_weights="none"), ("disc", "square"))
    save_weights(folder / "gfl.safetensors", net, card, {})
    return folder / "gfl.safetensors"


def test_norms_stand_still_and_the_head_is_saved_once() -> None:
    net = FastRCNN(3, zoom=1.0).train()
    before = net.encoder["features"][17].conv[1][1].running_mean.clone()
    targets = [{"boxes": torch.tensor([[8.0, 8.0, 40.0, 40.0]]), "labels": torch.tensor([1])}]
    losses = net.losses(torch.rand(1, 3, 64, 64), [torch.tensor([[9.0, 8.0, 41.0, 40.0]])], targets, [(64, 64)])
    assert set(losses) == {"loss_classifier", "loss_box_reg"}
    assert net.encoder["features"][17].conv[1][1].running_mean.equal(before)
    assert all(name.startswith(("encoder.features.", "roi_heads.box_predictor.")) for name in net.state_dict())


def test_an_item_is_mirrored_with_its_boxes_and_hangs_on_its_key_alone(pictures: Path) -> None:
    from vision.train.detection import start

    data = read_splits(pictures)[0]
    _, card = start(FAST_SETTINGS, data.names)
    items = ProposalSet(data, card, FAST_SETTINGS)
    seen = [items[0, seed] for seed in range(6)]
    twice = items[0, 3]
    assert all(one.equal(other) for one, other in zip(seen[3], twice, strict=True))
    lefts = {float(item[1][0, 0]) for item in seen}
    assert lefts == {data.pictures[0].boxes[0, 0], SIZE[0] - data.pictures[0].boxes[0, 2]}
    assert mirrored(mirrored(seen[0][3], SIZE[0]), SIZE[0]).equal(seen[0][3])
    batch = ProposalSet.collate([seen[0], tuple(part[..., :40] if part.ndim == 3 else part for part in seen[1])])
    assert batch[0].shape == (2, 3, 80, 96)
    assert batch[4] == [(80, 96), (80, 40)]
    assert (batch[0][1, :, :, 40:] == 0).all()


def test_what_cannot_be_is_said(run: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="only torch runs 'rcnn'"):
        Detector.load(str(run), backend="openvino")
    with pytest.raises(EngineError, match=r"only Detector\.load"):
        load(find(str(run), "detect"))
    with pytest.raises(ModelError, match="is an R-CNN"):
        Training("detect", pictures, tmp_path / "run", DetectSettings(model=str(run)))
    engine = ProposalEngine(find(str(run), "detect"), precision="fp32")
    with pytest.raises(EngineError, match="one picture at a time"):
        engine(np.zeros((2, 8, 8, 3), np.uint8))
    boxes, scores, _ = engine(np.full((1, 60, 70, 3), 80, np.uint8))           # one colour: one proposal
    assert boxes.shape == (1, 2, 4)
    assert scores.shape == (1, 2)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine(np.zeros((1, 8, 8, 3), np.uint8))


def test_large_pictures_are_shrunk_before_they_are_searched(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []

    def searched(self: SelectiveSearch, image: np.ndarray, most: int) -> np.ndarray:
        sizes.append(image.shape)
        return np.float32([[0, 0, image.shape[1], image.shape[0]]])

    monkeypatch.setattr(SelectiveSearch, "__call__", searched)
    with Detector.load(str(run), precision="fp32") as detector:
        found = detector(np.zeros((400, 832, 3), np.uint8), min_score=0.0)
    assert sizes == [(200, 416, 3)]
    assert found.boxes[:, 2].max() > 416
    assert FEATURES == 2560
