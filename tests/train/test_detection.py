"""Training of detectors: assignment and losses against their formulas, and the run."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from tests.boarded import board_lacks
from tests.train.labelled import Pictures, Thing, write_coco
from vision.boxes import iou
from vision.card import card_of
from vision.engine.program import state_dict
from vision.errors import ModelError, UsageError, WeightsError
from vision.nets import build
from vision.nets.gfl import Gfl, points
from vision.tasks.detect import Detector
from vision.train.assign import Assigned, task_aligned
from vision.train.criteria import GflCriterion, distribution_focal, varifocal
from vision.train.detect import DetectSettings
from vision.train.detection import start
from vision.train.recipe import Trained
from vision.train.training import Training

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = DetectSettings(
    model="gfl", size=(64, 64), crop=(64, 64), scale=(0.8, 1.5), mosaic=0.5, closing=1, encoder_weights="none",
    frozen=("encoder.features.0.", "encoder.features.1."), epochs=2, batch=8, lr=2e-3, weight_decay=0.01, warmup=0.0,
    ema=0.9, seed=3,
)


def by_loops(
    scores: np.ndarray, boxes: np.ndarray, centres: np.ndarray, objects: list[list[float]],
    labels: list[int], top_k: int, alpha: float, beta: float,
) -> tuple[np.ndarray, np.ndarray]:
    """One picture, as TOOD says it: the scores' targets (A,C), and the object of each cell, or -1."""
    cells, owner = len(centres), np.full(len(centres), -1)
    overlap = iou(np.array(objects, np.float32), boxes)
    alignment = np.zeros_like(overlap)
    wanted: list[set[int]] = []
    for m, (box, label) in enumerate(zip(objects, labels, strict=True)):
        inside = [
            a for a in range(cells)
            if box[0] < centres[a][0] < box[2] and box[1] < centres[a][1] < box[3]
        ]
        for a in inside:
            alignment[m, a] = scores[a, label] ** alpha * overlap[m, a] ** beta
        best = sorted(inside, key=lambda a, m=m: -alignment[m, a])[:top_k]
        wanted.append({a for a in best if alignment[m, a] > 0})
    for a in range(cells):
        claims = [m for m in range(len(objects)) if a in wanted[m]]
        if claims:
            owner[a] = max(claims, key=lambda m, a=a: overlap[m, a])
    target = np.zeros_like(scores)
    for m, label in enumerate(labels):
        mine = np.flatnonzero(owner == m)
        for a in mine:
            target[a, label] = alignment[m, a] / alignment[m, mine].max() * overlap[m, mine].max()
    return target, owner


@pytest.mark.parametrize("seed", range(6))
def test_assignment_is_that_of_loops_over_cells_and_objects(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = (96, 64)
    centres = points(size)[0]
    cells = len(centres)
    scores = torch.from_numpy(random.uniform(0.01, 1, (3, cells, 4)).astype(np.float32))
    reach = torch.from_numpy(random.uniform(2, 30, (3, cells, 4)).astype(np.float32))
    boxes = torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], -1)
    counts = (0, 3, 5)                                       # an empty picture is one of the batch
    objects, labels = torch.zeros(3, 5, 4), torch.full((3, 5), -1)
    for b, n in enumerate(counts):
        corner = random.uniform(0, (60, 40), (n, 2))
        sides = random.uniform(8, 40, (n, 2))
        objects[b, :n] = torch.from_numpy(np.hstack([corner, corner + sides]))
        labels[b, :n] = torch.from_numpy(random.integers(0, 4, n))
    found = task_aligned(scores, boxes, centres, objects, labels, top_k=7)
    for b, n in enumerate(counts):
        target, owner = by_loops(
            scores[b].numpy(), boxes[b].numpy(), centres.numpy(), objects[b, :n].tolist(),
            labels[b, :n].tolist(), 7, 1.0, 6.0,
        ) if n else (np.zeros((cells, 4)), np.full(cells, -1))
        np.testing.assert_allclose(found.scores[b].numpy(), target, atol=1e-5)
        np.testing.assert_allclose(found.weights[b].numpy(), target.max(1), atol=1e-5)
        taken = owner >= 0
        assert taken.sum() == int((found.weights[b] > 0).sum())
        assert found.boxes[b].numpy()[taken].tolist() == objects[b].numpy()[owner[taken]].tolist()
    assert int((found.weights > 0).sum()) > 10


def test_a_batch_without_objects_assigns_nothing() -> None:
    centres = points((64, 64))[0]
    scores = torch.rand(2, len(centres), 3)
    boxes = torch.rand(2, len(centres), 4)
    found = task_aligned(scores, boxes, centres, torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.int64))
    assert isinstance(found, Assigned)
    assert not found.scores.any()
    assert not found.weights.any()
    terms = GflCriterion()(
        build("gfl", classes=3), torch.rand(2, 3, 64, 64), torch.zeros(2, 0, 4),
        torch.zeros(2, 0, dtype=torch.int64),
    )
    assert terms["giou"] == 0
    assert terms["dfl"] == 0
    assert terms["varifocal"] > 0                            # what is seen where nothing is


def test_varifocal_loss_is_the_papers_formula() -> None:
    logits, targets = torch.tensor([2.0, -1.0, 0.5, -3.0]), torch.tensor([0.8, 0.3, 0.0, 0.0])
    expected = 0.0
    for z, q in zip(logits.tolist(), targets.tolist(), strict=True):
        p = 1 / (1 + math.exp(-z))
        if q > 0:
            expected += -q * (q * math.log(p) + (1 - q) * math.log(1 - p))
        else:
            expected += -0.75 * p**2 * math.log(1 - p)
    assert varifocal(logits, targets).item() == pytest.approx(expected, rel=1e-5)


def test_distribution_focal_loss_is_least_where_the_mean_is_the_distance() -> None:
    distances = torch.tensor([2.3, 0.0, 9.0])                # the last lies beyond the bins
    logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    log_probs = logits.log_softmax(1)
    expected = [
        -(0.7 * log_probs[0, 2] + 0.3 * log_probs[0, 3]), -log_probs[1, 0],
        -(0.01 * log_probs[2, 6] + 0.99 * log_probs[2, 7]),
    ]
    torch.testing.assert_close(distribution_focal(logits, distances), torch.stack(expected))
    ideal = torch.full((1, 8), -30.0)
    ideal[0, 2:4] = torch.tensor([0.7, 0.3]).log()
    entropy = -(0.7 * math.log(0.7) + 0.3 * math.log(0.3))
    assert distribution_focal(ideal, distances[:1]).item() == pytest.approx(entropy, abs=1e-4)


def test_the_criterion_vanishes_on_a_network_that_knows_the_answer() -> None:
    """Logits and distances set to the truth: GIoU is 0, and what is left of the others is small."""
    size = (128, 128)
    centres, strides = points(size)
    objects = torch.tensor([[[16.0, 16.0, 80.0, 112.0]]])
    labels = torch.tensor([[1]])
    away = torch.cat([centres - objects[0, 0, :2], objects[0, 0, 2:] - centres], 1) / strides[:, None]
    inside = (away.amin(1) > 0) & (away.amax(1) < 7)
    low = away.clamp(0, 6.99).long()
    share = away.clamp(0, 6.99) - low
    bins = torch.full((len(centres), 4, 8), -40.0)
    bins.scatter_(2, low[..., None], (1 - share).clamp(min=1e-9).log()[..., None])
    bins.scatter_(2, low[..., None] + 1, share.clamp(min=1e-9).log()[..., None])
    logits = torch.full((len(centres), 2), -20.0)
    logits[inside.nonzero()[:13, 0], 1] = 20.0

    class Knows(Gfl):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return logits[None], bins[None]

    terms = GflCriterion()(Knows(2), torch.zeros(1, 3, 128, 128), objects, labels)
    assert terms["giou"].item() == pytest.approx(0, abs=1e-3)
    assert terms["varifocal"].item() == pytest.approx(0, abs=1e-3)
    floor = math.log(2)                                      # the entropy: every side lies between two bins
    assert terms["dfl"].item() == pytest.approx(0.5 * floor, abs=1e-4)


def squares(count: int, seed: int) -> Pictures:
    """Pictures of 64x64 with a small dog, or a large mouse, on grey."""
    random = np.random.default_rng(seed)
    made: Pictures = {}
    for i in range(count):
        side = int(random.integers(14, 22)) if i % 2 else int(random.integers(34, 46))
        x, y = (int(v) for v in random.integers(0, 64 - side, 2))
        made[f"{seed}-{i:02d}"] = ((64, 64), (Thing(1 if i % 2 else 2, (x, y, x + side, y + side)),))
    return made


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 + 4 of them, as COCO has it."""
    return write_coco(tmp_path_factory.mktemp("squares"), {"train": squares(32, 0), "val": squares(4, 1)})


def train(data: Path, folder: Path, *, resume: bool = False, **settings: object) -> Trained:
    return Training("detect", data, folder, replace(SETTINGS, **settings), resume=resume).run()


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    train(pictures, folder)
    return folder


def test_two_epochs_lower_the_loss_and_leave_a_model_that_opens(whole: Path) -> None:
    first, second = curve(whole)
    assert board_lacks(whole) == set()
    total = [sum(e[f"train/{t}"] for t in ("varifocal", "giou", "dfl")) for e in (first, second)]
    assert total[1] < total[0]
    card = card_of(whole / "best.safetensors")
    assert card.classes == ("cat", "dog", "mouse")
    assert (card.task, card.net, card.input.size_wh) == ("detect", "gfl", (64, 64))
    detector = Detector.load(whole / "best.safetensors", backend="torch")
    found = detector(np.zeros((48, 64, 3), np.uint8), min_score=0.0)
    assert len(found) > 0
    assert np.isfinite(found.boxes).all()


def test_what_is_frozen_keeps_its_bits(whole: Path) -> None:
    torch.manual_seed(SETTINGS.seed)
    net, _ = start(SETTINGS, ("cat", "dog", "mouse"))
    trained = weights_of(whole)
    moved = [n for n, v in net.state_dict().items() if not trained[f"net.{n}"].equal(v)]
    kept = [n for n in moved if n.startswith(SETTINGS.frozen) and not n.endswith("num_batches_tracked")]
    assert kept == []
    assert "encoder.features.2.conv.0.0.weight" in moved
    assert "encoder.features.2.conv.0.1.running_mean" in moved


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bits(pictures: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        from vision.train.learner import Learner

        honest = Learner.training_step

        def dies(self: Learner, batch: object, index: int) -> torch.Tensor:
            if self.current_epoch == 1 and index == 2:
                raise KeyboardInterrupt
            return honest(self, batch, index)

        patch.setattr(Learner, "training_step", dies)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train(pictures, tmp_path / "run")
    torch.manual_seed(99)                                    # nothing may hang on where the process was
    train(pictures, tmp_path / "run", resume=True)
    expected, got = weights_of(whole), weights_of(tmp_path / "run")
    assert [name for name in expected if not expected[name].equal(got[name])] == []


@pytest.mark.slow
def test_it_learns_to_find_what_it_was_shown(pictures: Path, tmp_path: Path) -> None:
    run = train(
        pictures, tmp_path / "run", epochs=40, val_every=40, ema=0.0, scale=(1.0, 1.0), mosaic=0.0, colour=0.0,
        frozen=(),
    )
    assert run.figures["ap50"] > 0.9


def test_a_new_head_for_new_classes_keeps_all_the_rest_and_classes_of_the_same_name(whole: Path) -> None:
    net, card = start(replace(SETTINGS, model=str(whole / "best.safetensors")), ("cow", "dog"))
    saved, mine = state_dict(whole / "best.safetensors"), net.state_dict()
    assert card.config == {"classes": 2}
    assert card.classes == ("cow", "dog")
    other = [n for n, v in mine.items() if v.shape != saved[n].shape]
    assert len(other) == 12                                  # of four levels: two convolutions and a bias
    assert all(n.startswith("classify.") for n in other)
    assert [n for n, v in mine.items() if n not in other and not v.equal(saved[n].to(v))] == []
    for name in other:
        assert mine[name][1].equal(saved[name][1].float()), name         # dog was the second of three
    same, _ = start(replace(SETTINGS, model=str(whole / "best.safetensors")), ("mouse", "dog", "cat"))
    assert same.state_dict()["classify.1.level.weight"].equal(
        saved["classify.1.level.weight"].flip(0).float()
    )


def test_what_cannot_be_started_from_is_named(whole: Path, tmp_path: Path) -> None:
    data = write_coco(tmp_path / "data")
    with pytest.raises(ModelError, match=r"fcos-resnet50.* not trained here"):
        train(data, tmp_path / "run", model="fcos-resnet50")
    with pytest.raises(WeightsError, match=r"gone\.safetensors"):
        train(data, tmp_path / "run", model="gone.safetensors")
    assert not (tmp_path / "run").exists()
    with pytest.raises(WeightsError, match="another network"):
        start(replace(SETTINGS, model=str(whole / "best.safetensors"), options={"channels": 64}), ("cat",))


def test_a_resumed_run_with_other_classes_is_refused(pictures: Path, whole: Path, tmp_path: Path) -> None:
    other = write_coco(tmp_path / "other", {"train": squares(8, 0), "val": squares(2, 1)}, ("x", "y", "z"))
    with pytest.raises(UsageError, match="classes"):
        train(other, whole, resume=True)


@pytest.mark.slow
def test_two_processes_judge_all_pictures_once(pictures: Path, tmp_path: Path) -> None:
    """DDP: each process sees half of the pictures (three, and one twice to come out even)."""
    data = tmp_path / "data"
    write_coco(data, {"train": squares(8, 0), "val": squares(3, 1)})
    script = f"""
import warnings; warnings.filterwarnings("ignore")
from pathlib import Path
import torch
from tests.train.test_detection import train
from vision.metrics import detection
import vision.train.detection as training
def told(truth, rows):
    rows = list(rows)
    judged = sorted(i["id"] for i in truth.images)
    Path({str(tmp_path)!r}, f"rank{{torch.distributed.get_rank()}}").write_text(f"{{judged}} {{len(rows)}}")
    return detection.average_precision(truth, rows)
training.average_precision = told
train(Path({str(data)!r}), Path({str(tmp_path / "run")!r}), epochs=1, batch=2, devices=2, threads=1)
"""
    program = tmp_path / "go.py"
    program.write_text(script)
    done = subprocess.run(
        [sys.executable, str(program)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = ((tmp_path / f"rank{r}").read_text() for r in (0, 1))
    assert first == second
    assert first.startswith("[0, 1, 2] ")
    assert (tmp_path / "run" / "best.safetensors").is_file()
