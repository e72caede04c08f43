"""Label maps: layouts, bad input, balancing, and transforms that keep picture and labels together."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.card import Input
from vision.data.segmentation import IGNORE, Pairs, find_pairs, read_pair
from vision.errors import DataError, UsageError
from vision.train import losses
from vision.train.ema import Average
from vision.train.loading import Shuffled
from vision.train.optim import optimiser, schedule
from vision.train.segment import SegmentSettings
from vision.train.segmentation import Segmentation, SegmentationSet, augmentation
from vision.train.settings import Settings, differences
from vision.zoo import CAMVID

from .conftest import card, write_pair


def one_pair(root: Path, labels: np.ndarray) -> Pairs:
    write_pair(root / "train", "a", labels, 0)
    (root / "classes.txt").write_text("ground\nblock\n", encoding="utf-8")
    return find_pairs(root, "train")


def test_a_label_outside_the_classes_is_named(tmp_path: Path) -> None:
    pairs = one_pair(tmp_path, np.full((8, 8), 2, np.uint8))
    with pytest.raises(DataError, match=r"a\.png' has the label 2, outside the 2 classes"):
        read_pair(pairs, 0)


def test_a_label_map_of_another_size_is_named(tmp_path: Path) -> None:
    pairs = one_pair(tmp_path, np.zeros((8, 8), np.uint8))
    cv2.imwrite(str(pairs.maps[0]), np.zeros((8, 9), np.uint8))
    with pytest.raises(DataError, match="is 9x8, its picture 8x8"):
        read_pair(pairs, 0)


def test_a_colour_png_and_a_broken_one_are_named(tmp_path: Path) -> None:
    pairs = one_pair(tmp_path, np.zeros((8, 8), np.uint8))
    cv2.imwrite(str(pairs.maps[0]), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match=r"not an index PNG .*, but RGB"):
        read_pair(pairs, 0)
    pairs.maps[0].write_bytes(b"no picture")
    with pytest.raises(DataError, match="cannot be read"):
        read_pair(pairs, 0)


def test_the_indices_of_a_palette_are_the_labels(tmp_path: Path) -> None:
    """VOC's maps, and what labelling tools write: OpenCV reads a palette's colours."""
    labels = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
    pairs = one_pair(tmp_path, labels)
    coloured = Image.fromarray(labels).convert("P")
    coloured.putdata(labels.ravel().tolist())
    coloured.putpalette([0, 0, 0, 128, 0, 0] + [224, 224, 192] * 254)
    coloured.save(pairs.maps[0])
    assert cv2.imread(str(pairs.maps[0]), cv2.IMREAD_UNCHANGED).shape == (2, 3, 3)
    assert read_pair(pairs, 0)[1].tolist() == labels.tolist()


@pytest.mark.parametrize("layout", ["images and labels", "CamVid's"])
def test_what_255_means_is_told_by_what_is_learned_from(tmp_path: Path, layout: str) -> None:
    """A split that is judged has the two classes of its `train`, whatever values its own maps happen to have."""
    def write(split: str, *values: int) -> None:
        labels = np.resize(np.array(values, np.uint8), (8, 8))
        write_pair(tmp_path / split, "a", labels, 0)
        if layout == "CamVid's":
            (tmp_path / split / "labels").rename(tmp_path / f"{split}annot")
            (tmp_path / split / "images/a.png").rename(tmp_path / split / "a.png")

    (tmp_path / "classes.txt").write_text("ground\nblock\n", encoding="utf-8")
    write("val", 0, 255)
    assert find_pairs(tmp_path, "val").two_tone                          # alone
    write("train", 0, 1, 255)
    assert [find_pairs(tmp_path, split).two_tone for split in ("train", "val")] == [False, False]
    assert set(read_pair(find_pairs(tmp_path, "val"), 0)[1].ravel().tolist()) == {0, IGNORE}
    other = find_pairs(tmp_path, "train").maps[0]
    cv2.imwrite(str(other), np.resize(np.array([0, 255], np.uint8), (8, 8)))
    write("test", 0)
    assert [find_pairs(tmp_path, split).two_tone for split in ("train", "val", "test")] == [True, True, True]


def test_maps_without_a_class_and_lists_without_a_name_are_told(tmp_path: Path) -> None:
    pairs = one_pair(tmp_path, np.full((8, 8), IGNORE, np.uint8))
    with pytest.raises(DataError, match=r"train/labels' are void all over: no pixel is of a class"):
        SegmentationSet(pairs)
    (tmp_path / "classes.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r"classes\.txt' names no class"):
        find_pairs(tmp_path, "train")


def test_pictures_without_labels_are_counted_and_empty_folders_told(tmp_path: Path) -> None:
    pairs = one_pair(tmp_path, np.zeros((8, 8), np.uint8))
    cv2.imwrite(str(tmp_path / "train" / "images" / "b.png"), np.zeros((8, 8, 3), np.uint8))
    pairs = find_pairs(tmp_path, "train")
    assert [p.name for p in pairs.without] == ["b.png"]
    assert [p.name for p in pairs.pictures] == ["a.png"]
    pairs.maps[0].unlink()
    with pytest.raises(DataError, match="2 pictures and none with a label map"):
        find_pairs(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'val'"):
        find_pairs(tmp_path, "val")
    write_pair(tmp_path / "val", "a", np.zeros((8, 8), np.uint8), 0)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"classes\.txt"):
        find_pairs(tmp_path, "val")


@pytest.mark.realdata
def test_camvid_is_what_its_paper_says(data: Path) -> None:
    train, val = find_pairs(data / "camvid", "train"), find_pairs(data / "camvid", "val")
    assert (len(train.pictures), len(val.pictures)) == (367, 101)
    assert train.names == CAMVID
    picture, labels = read_pair(val, 0)
    assert picture.shape == (360, 480, 3)
    assert set(np.unique(labels)) <= {*range(11), IGNORE}


@pytest.mark.realdata
def test_recomputed_weights_are_near_the_published_ones(data: Path) -> None:
    """SegNet's authors counted the same 367 maps; theirs differ where they counted void, and for
    signs, which their own file weighs two and a half times as much as their formula gives."""
    pairs = find_pairs(data / "camvid", "train")
    weights = losses.median_frequency([read_pair(pairs, i)[1] for i in range(367)], 11)
    ratio = weights / np.array(losses.SEGNET_WEIGHTS)
    assert sorted(np.abs(np.log(ratio)))[:-1][-1] < np.log(1.25)
    assert np.median(weights) == pytest.approx(1.0, abs=0.01)


def test_median_frequency_by_hand() -> None:
    a = np.array([[0, 0], [0, 1]], np.uint8)
    b = np.array([[0, IGNORE], [2, 2]], np.uint8)
    # frequencies: 0: 4 of 7 known pixels; 1: 1 of 4; 2: 2 of 3. Their median is 4/7
    np.testing.assert_allclose(
        losses.median_frequency([a, b], 4), [1, (4 / 7) / (1 / 4), (4 / 7) / (2 / 3), 0], rtol=1e-6
    )


def test_dice_by_hand_and_void_left_out() -> None:
    labels = torch.tensor([[[0, 1, 1, IGNORE]]])
    probs = torch.tensor([[[[0.8, 0.4, 0.1, 0.9]], [[0.2, 0.6, 0.9, 0.1]]]])
    dice0 = 2 * 0.8 / (0.8 + 0.4 + 0.1 + 1)
    dice1 = 2 * (0.6 + 0.9) / (0.2 + 0.6 + 0.9 + 2)
    loss = losses.dice_loss(probs.log(), labels, IGNORE)
    assert loss.item() == pytest.approx(1 - (dice0 + dice1) / 2, abs=1e-6)


def test_a_batch_that_is_void_altogether_has_no_loss() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.full((1, 4, 4), IGNORE)
    total = losses.cross_entropy(logits, labels, IGNORE) + losses.dice_loss(logits, labels, IGNORE)
    total.backward()
    assert total.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


def test_transforms_keep_picture_and_labels_together(tmp_path: Path) -> None:
    """A picture that shows its own labels still does after every crop and flip."""
    labels = np.kron(np.random.default_rng(0).integers(0, 2, (6, 8)), np.ones((20, 20))).astype(np.uint8)
    pairs = one_pair(tmp_path, labels)
    cv2.imwrite(str(pairs.pictures[0]), np.repeat(labels[..., None] * 200, 3, 2))
    data = SegmentationSet(pairs, augmentation(SegmentSettings(crop=(96, 64), area=(0.2, 1.0), colour=0.0)))
    for seed in range(30):
        picture, varied = data[(0, seed)]
        assert picture.shape == (3, 64, 96)
        assert ((picture[0] > 100) == (varied == 1)).float().mean() > 0.97
    assert torch.equal(data[(0, 7)][0], data[(0, 7)][0])
    assert not torch.equal(data[(0, 7)][0], data[(0, 8)][0])


@pytest.mark.parametrize("width", [32, 80])
def test_label_pixels_come_from_their_own_centres(width: int, tmp_path: Path) -> None:
    labels = np.zeros((48, 48), np.uint8)
    labels[:, 24:] = 1
    pairs = one_pair(tmp_path, labels)
    varied = augmentation(SegmentSettings(crop=(width, width), area=(1.0, 1.0), colour=0.0))
    data = SegmentationSet(pairs, varied)
    seen = {tuple(data[(0, seed)][1][0].tolist()) for seed in range(20)}
    row = [0] * (width // 2) + [1] * (width // 2)             # an edge in the middle stays in the middle
    assert seen == {tuple(row), tuple(row[::-1])}


def test_validation_looks_at_pictures_as_in_use_and_counts_labels_at_their_own_size(tmp_path: Path) -> None:
    """A network that copies what it sees makes the errors of the smaller picture, and no others."""
    labels = np.zeros((12, 12), np.uint8)
    labels[:, 5:] = 1                                         # at half the size the edge moves to 6
    pairs = one_pair(tmp_path, labels)
    cv2.imwrite(str(pairs.pictures[0]), np.repeat(labels[..., None] * 255, 3, 2))
    picture, truth = SegmentationSet(pairs, size_wh=(6, 6))[(0, 0)]
    assert picture.shape == (3, 6, 6)
    assert torch.equal(truth, torch.from_numpy(labels))

    class Copies(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([0.75 - x[:, 0], x[:, 0] - 0.75, *[x[:, 0] - 9] * (len(pairs.names) - 2)], 1)

    plain = Input((6, 6), "stretch", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    objective = Segmentation(card(input=plain, names=pairs.names), None, 0.0)
    objective.update(Copies(), (picture[None], truth[None]))
    found = objective.figures()
    assert found["accuracy"] == pytest.approx(11 / 12)        # the column at 5, of twelve
    assert found["miou"] == pytest.approx((5 / 6 + 6 / 7) / 2)


def test_what_a_network_learns_from_is_what_it_gets_in_use() -> None:
    from vision.nets.deploy import Deploy

    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    picture = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    objective = Segmentation(card(input=Input((7, 5), "stretch", mean=mean, std=std)), None, 0.0)
    in_use = Deploy(torch.nn.Identity(), mean, std)(picture.flip(1).movedim(1, -1))[0]
    by_hand = (picture / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.equal(objective.inputs(picture), in_use)
    torch.testing.assert_close(in_use, by_hand, atol=1e-5, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(0, 1000), st.integers(0, 100))
def test_an_epoch_has_every_item_once_and_its_own_order(n: int, seed: int, epoch: int) -> None:
    sampler = Shuffled(n, seed)
    sampler.set_epoch(epoch)
    keys = list(sampler)
    assert sorted(i for i, _ in keys) == list(range(n))
    assert keys == list(sampler)
    sampler.set_epoch(epoch + 1)
    assert keys != list(sampler)


def test_schedules_by_hand() -> None:
    base = Settings(epochs=10, warmup=1.0)
    expected = (("cosine", 0.5, 0.0), ("poly", 0.5**0.9, 0.0), ("step", 1.0, 0.01), ("constant", 1, 1))
    for name, half, end in expected:
        factor = schedule(Settings(epochs=10, warmup=1.0, schedule=name), 100)
        assert [factor(i) for i in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
        assert factor(10) == pytest.approx(1.0)
        assert factor(55) == pytest.approx(half)
        assert factor(100) == pytest.approx(end, abs=1e-9)
    assert schedule(base, 100)(200) == pytest.approx(0.0)


def test_the_optimiser_s_groups() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.Linear(2, 2)
            self.head = torch.nn.Linear(2, 2)
            self.frozen = torch.nn.Linear(2, 2).requires_grad_(False)

    net = Net()
    for kind in ("adamw", "sgd"):
        made = optimiser(net, Settings(lr=0.1, backbone_lr=0.5, weight_decay=0.3, optimiser=kind))
        of = {id(p): g for g in made.param_groups for p in g["params"]}
        assert len(of) == 4
        assert [of[id(p)]["lr"] for p in (net.encoder.weight, net.head.weight)] == [0.05, 0.1]
        assert [of[id(p)]["weight_decay"] for p in (net.head.weight, net.head.bias)] == [0.3, 0.0]


def test_the_average_follows_as_its_formula_says() -> None:
    net = torch.nn.BatchNorm1d(1)
    average = Average(net, 0.5)
    expected = 1.0
    for n, value in enumerate((2.0, 3.0, 5.0)):
        torch.nn.init.constant_(net.weight, value)
        net.num_batches_tracked.fill_(n)
        average.update(net)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    assert average.net.weight.item() == pytest.approx(expected)
    assert average.net.num_batches_tracked.item() == 2
    average.train()
    assert not average.net.training


def test_settings_that_cannot_be_and_what_may_change() -> None:
    with pytest.raises(UsageError, match=r"Settings\.epochs is at least 1; got 0"):
        Settings(epochs=0)
    with pytest.raises(UsageError, match=r"ema below 1; got 0\.001 and 1"):
        Settings(ema=1.0)
    saved = Settings().record()
    assert differences(saved, {**saved, "workers": 4, "patience": 3, "epochs": 60}) == []
    assert differences(saved, {**saved, "lr": 0.5, "seed": 1}) == ["lr 0.001 -> 0.5", "seed 0 -> 1"]
