"""Labelled videos, splits, folds, clips to train on, the SVM, the figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import WriteVideo, card, numbered
from hypothesis import given
from hypothesis import strategies as st

from vision.card import Input
from vision.data.videos import Videos, find_videos, folds, listed
from vision.errors import DataError, ModelError, UsageError, WeightsError
from vision.metrics.action import action_figures
from vision.train.action import ACTION_NETS, ActionSettings
from vision.train.clips import HeldOutClips, TrainClips
from vision.train.fit import save_weights
from vision.train.recognition import ActionObjective, linear_svm, with_head
from vision.train.start import load_net
from vision.train.training import Training


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    """Two classes of empty files, named as UCF101 names them, with split lists as the official ones."""
    root = tmp_path / "UCF-101"
    names = []
    for name in ("Archery", "Punch"):
        (root / name).mkdir(parents=True)
        for group in (1, 2, 8, 9, 10):
            for c in (1, 2):
                file = f"{name}/v_{name}_g{group:02d}_c{c:02d}.avi"
                (root / file).write_bytes(b"")
                names.append(file)
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    test = [n for n in names if "_g01" in n or "_g02" in n]
    train = [f"{n} {1 + n.startswith('Punch')}" for n in names if n not in test]
    train.append("Archery/v_Archery_g25_c01.avi 1")        # named, and not there
    for kind, lines in (("train", train), ("test", test)):
        (lists / f"{kind}list01.txt").write_text("".join(f"{line}\r\n" for line in lines), newline="")
    return root


def test_folders_are_classes_and_names_tell_groups(ucf: Path) -> None:
    videos = find_videos(ucf)
    assert videos.names == ("Archery", "Punch")
    assert [videos.labels.count(label) for label in (0, 1)] == [10, 10]
    assert set(videos.groups) == {"g01", "g02", "g08", "g09", "g10"}


def test_the_official_lists_with_their_line_ends(ucf: Path) -> None:
    train, test = listed(ucf, "train", 1), listed(ucf, "test", 1)
    assert (len(train), len(test)) == (12, 8)
    assert train.summary() == [f"1 videos of trainlist01.txt are not in {ucf}: left out"]
    assert test.summary() == []
    assert not set(train.paths) & set(test.paths)
    assert not set(train.groups) & set(test.groups)


def test_what_is_missing_is_told(ucf: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no testlist03\.txt"):
        listed(ucf, "test", 3)
    (ucf / "Empty").mkdir()
    with pytest.raises(DataError, match=r"Empty' has no videos"):
        find_videos(ucf)
    (ucf / "Empty").rmdir()
    (tmp_path / "ucfTrainTestlist" / "testlist02.txt").write_text("Gone/v_Gone_g01_c01.avi\n")
    with pytest.raises(DataError, match=r"none of the 1 videos .* first Gone/v_Gone_g01_c01\.avi"):
        listed(ucf, "test", 2)
    with pytest.raises(DataError, match="no folder"):
        find_videos(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="no class folders"):
        find_videos(tmp_path / "bare")


def test_labels_for_a_model_go_by_name(ucf: Path) -> None:
    videos = find_videos(ucf)
    assert set(videos.named(("Punch", "Diving", "Archery")).labels) == {0, 2}
    with pytest.raises(DataError, match="does not know Archery"):
        videos.named(("Punch", "Diving"))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 25)), min_size=10), st.integers(2, 6))
def test_groups_never_straddle_a_fold(rows: list[tuple[int, int]], k: int) -> None:
    videos = Videos(
        tuple(Path(str(i)) for i in range(len(rows))), tuple(c for c, _ in rows),
        tuple(f"g{g:02d}" for _, g in rows), ("a", "b", "c"),
    )
    if len(set(videos.groups)) < k:
        with pytest.raises(DataError, match=f"{k} folds need"):
            folds(videos, k)
        return
    pairs = folds(videos, k)
    tested = [p for _, test in pairs for p in test.paths]
    assert sorted(tested) == sorted(videos.paths)
    for train, test in pairs:
        assert not set(train.groups) & set(test.groups)
        assert len(train) + len(test) == len(videos)


def videos_of(paths: list[Path], labels: list[int]) -> Videos:
    return Videos(tuple(paths), tuple(labels), tuple(p.stem for p in paths), ("a", "b", "c"))


def test_augmentation_is_the_same_for_all_frames_of_a_clip(write_video: WriteVideo) -> None:
    random = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    still = write_video("still.mp4", [random] * 20)
    small = card(input=Input((16, 16), "stretch"))
    data = TrainClips(videos_of([still], [1]), small, (4, 12.5), ActionSettings(samples=3))
    assert len(data) == 3
    clips = [data[(i, 7 + i)] for i in range(3)]
    for clip, label in clips:
        assert clip.shape == (3, 4, 16, 16)
        assert label == 1
        assert torch.equal(clip, clip[:, :1].expand_as(clip))
    assert not torch.equal(clips[0][0], clips[1][0])
    assert torch.equal(data[(0, 7)][0], clips[0][0])       # the seed alone decides


def test_a_clip_is_a_run_at_its_rate_in_red_green_blue(write_video: WriteVideo) -> None:
    blue = [numbered(i) * np.array([1, 0, 0], np.uint8) for i in range(30)]
    path = write_video("count.mp4", blue)
    plain = ActionSettings(area=(1.0, 1.0), colour=0.0, samples=5)
    for memory in (1 << 30, 0):                            # kept in memory; read anew
        one = videos_of([path], [0])
        data = TrainClips(one, card(input=Input((16, 16), "stretch")), (4, 12.5), plain, memory=memory)
        for index in range(5):
            clip, _ = data[(index, 3)]
            values = clip[2, :, 8, 8].tolist()
            assert np.diff(values).tolist() == [14, 14, 14]                # every second frame of 25 a second
            assert clip[:2].max() == 0
            assert values[0] // 7 in range(index * 4 - 2, index * 5 + 7)


def test_validation_shows_what_the_recognizer_sees(write_video: WriteVideo) -> None:
    path = write_video("count.mp4", [numbered(i) for i in range(30)])
    data = HeldOutClips(videos_of([path], [2]), lambda image: image[:8, :8], (4, 25.0), 3)
    clips, label = data[(0, 0)]
    assert clips.shape == (3, 3, 4, 8, 8)
    assert label == 2
    assert clips[:, 0, 0, 0, 0].tolist() == [0, 13 * 7, 26 * 7]


@given(st.integers(2, 6), st.integers(1, 12), st.integers(1, 5), st.integers(0, 9))
def test_figures_against_loops(classes: int, videos: int, clips: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    probs = [random.dirichlet(np.ones(classes), clips).astype(np.float32) for _ in range(videos)]
    labels = random.integers(0, classes, videos).tolist()
    found = action_figures(probs, labels)
    right = five = clip_right = 0
    matrix = np.zeros((classes, classes), int)
    for p, label in zip(probs, labels, strict=True):
        order = sorted(range(classes), key=lambda c: -p.mean(axis=0)[c])
        right += order[0] == label
        five += label in order[:5]
        clip_right += sum(int(row.argmax()) == label for row in p)
        matrix[label, order[0]] += 1
    assert found.top1 == pytest.approx(right / videos)
    assert found.top5 == pytest.approx(five / videos)
    assert found.clip_top1 == pytest.approx(clip_right / videos / clips)
    assert np.array_equal(found.confusion, matrix)


def test_no_videos_have_no_figures() -> None:
    with pytest.raises(DataError, match="at least one"):
        action_figures([], [])


@pytest.mark.parametrize("classes", [2, 3])
def test_the_svm_becomes_the_last_layer_of_a_2d_network(classes: int) -> None:
    from vision.nets.frame2d import FrameNet

    random = np.random.default_rng(0)
    centres = random.normal(size=(classes, 1280))
    labels = np.repeat(np.arange(classes), 12)
    rows = centres[labels] + 0.3 * random.normal(size=(len(labels), 1280))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    weights, biases = linear_svm(rows, labels.tolist())
    net = with_head(FrameNet(classes), weights, biases).eval()
    margins = net.get_submodule("fc")(torch.from_numpy(rows)).detach().numpy()
    assert np.allclose(margins, rows @ weights.T + biases, atol=1e-4)
    assert (margins.argmax(axis=1) == labels).all()
    with pytest.raises(DataError, match="two classes"):
        linear_svm(rows, [0] * len(rows))


def test_what_is_none_of_the_classes_weighs_as_much_as_they_do_however_much_of_it_there_is() -> None:
    random = np.random.default_rng(0)
    known, other = random.normal(0.4, 1, (20, 8)), random.normal(-0.4, 1, (20, 8))
    labels = [0] * 10 + [1] * 10
    once, often = (linear_svm(np.concatenate([known, *[other] * n]).astype(np.float32), labels + [2] * 20 * n, none=2)
                   for n in (1, 30))
    assert np.allclose(once[0][2], often[0][2], atol=0.02 * np.abs(once[0]).max())
    plain = linear_svm(np.concatenate([known, other]).astype(np.float32), labels + [2] * 20)
    assert np.allclose(once[0], 3 * plain[0], atol=1e-3)


def test_networks_by_name() -> None:
    assert {r.net for r in ACTION_NETS.values()} == {"c3d", "c3d_lite", "video_resnet", "frame2d"}
    with pytest.raises(ModelError, match="Nearest: c3d"):
        _ = ActionSettings(model="c4d").net


def test_starting_weights_fit_but_for_the_last_layer(tmp_path: Path) -> None:
    from vision.nets.c3d import C3D

    trained, other = C3D(5, width=1 / 16, side=32), C3D(3, width=1 / 16, side=32)
    path = tmp_path / "w.safetensors"
    save_weights(path, trained, card(), {})
    load_net(other, path, new_last_layer=True)
    assert torch.allclose(other.fc7.weight, trained.fc7.weight, atol=1e-3)
    with pytest.raises(WeightsError, match="weights of another network"):
        load_net(C3D(3, width=1 / 8, side=32), path, new_last_layer=True)


def test_what_is_held_out_unless_it_is_said(ucf: Path) -> None:
    training = Training("action", ucf, ucf / "run")
    assert training.settings.linear_svm                      # of two streams that is the one way
    learned, held = training.data
    assert set(held.groups) == {"g01"}
    assert (len(learned), len(held)) == (16, 4)
    assert held.summary() == ["4 of 20 videos are held out, by group (g01); --folds 5 measures all"]
    for name in ("a", "b"):
        (ucf.parent / "few" / name).mkdir(parents=True)
        (ucf.parent / "few" / name / f"{name}.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="no video of 'a' is left to learn from"):
        Training("action", ucf.parent / "few", ucf / "run")
    with pytest.raises(UsageError, match="2D network"):
        Training("action", ucf, ucf / "run", ActionSettings(model="c3d", linear_svm=True))


@pytest.mark.slow
def test_a_resumed_run_ends_like_one_that_was_not_killed(write_video: WriteVideo, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    rows = []
    for label in range(3):
        picture = np.zeros((32, 32, 3), np.uint8)
        picture[:, :8, label] = 200
        moving = [np.roll(picture, 4 * i, 1) for i in range(8)]
        rows += [(write_video(f"{label}{k}.mp4", moving), label) for k in range(2)]
    videos = videos_of([path for path, _ in rows], [label for _, label in rows])
    settings = ActionSettings(model="c3d-lite", samples=1, epochs=2, batch=3)
    whole = Training("action", (videos, videos), tmp_path / "whole", settings).run()

    class Killed(Exception):
        pass

    def die(self: ActionObjective) -> dict[str, float]:
        if (tmp_path / "broken" / "last.ckpt").exists():
            raise Killed
        return figures(self)

    figures = ActionObjective.figures
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActionObjective, "figures", die)
        with pytest.raises(Killed):
            Training("action", (videos, videos), tmp_path / "broken", settings).run()
    resumed = Training("action", (videos, videos), tmp_path / "broken", settings, resume=True).run()
    ours, theirs = load_file(resumed.weights), load_file(whole.weights)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
