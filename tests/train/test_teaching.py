"""Labels by teachers: what they see is added to what people say, kept, and learnt with its scores."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vision.data.detection import DetectionData, Labelled
from vision.data.unlabelled import bare, read_unlabelled
from vision.errors import DataError, ModelError, UsageError
from vision.train import teaching
from vision.train.assign import task_aligned
from vision.train.detect import DetectSettings
from vision.train.detection import surest
from vision.train.teaching import classes_of, taught
from vision.train.training import Training


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve cuts of a woman and of a cat (scikit-image's), in two folders, and a file that is no picture."""
    package = find_spec("skimage")
    assert package is not None
    source = Path(package.submodule_search_locations[0]) / "data"
    folder = tmp_path_factory.mktemp("unlabelled")
    for name in ("astronaut", "chelsea"):
        (folder / name).mkdir()
        image = cv2.imread(str(source / f"{name}.png"))
        for i in range(6):
            cv2.imwrite(str(folder / name / f"{i}.jpg"), image[:, i * 8: i * 8 + 380])
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def test_pictures_alone_are_data_whose_tenth_is_held_out(photographs: Path) -> None:
    learnt, held_out = read_unlabelled(photographs, ("person", "cat"))
    assert len(learnt) + len(held_out) == 12
    assert 1 <= len(held_out) <= 4
    assert not {p.path for p in learnt.pictures} & {p.path for p in held_out.pictures}
    assert learnt.summary() == ["pictures that cannot be read, left out: 1 (first: broken.jpg)"]
    assert read_unlabelled(photographs, ())[1].pictures[0].path == held_out.pictures[0].path
    with pytest.raises(DataError, match=r"1 pictures that can be read\. A teacher needs two"):
        read_unlabelled(one_picture(photographs), ())


def one_picture(photographs: Path) -> Path:
    folder = photographs.parent / "one"
    folder.mkdir(exist_ok=True)
    (folder / "a.jpg").write_bytes((photographs / "chelsea/0.jpg").read_bytes())
    return folder


def test_a_teacher_adds_what_nobody_labelled_and_is_asked_once(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat = photographs / "chelsea/0.jpg"
    plain = taught(DetectionData(("cat", "person"), (bare(cat, (380, 300)),), {}), ("gfl-voc",), tmp_path)
    (picture,) = plain.pictures
    assert picture.sure is not None
    best = int(picture.sure.argmax())
    assert picture.labels[best] == 0
    assert 0.5 < picture.sure[best] < 1
    assert picture.areas[best] == pytest.approx(float((picture.boxes[best, 2:] - picture.boxes[best, :2]).prod()))
    asked = [json.loads(line)["picture"] for line in (tmp_path / "teacher.jsonl").read_text().splitlines()]
    assert asked == [str(cat)]
    monkeypatch.setattr(teaching.Detector, "load", lambda *_: pytest.fail("is asked again"))
    mine = np.array([picture.boxes[best] + 3], np.float32)             # a person's label of the same thing
    flags = np.zeros(1, bool)
    labelled = Labelled(cat, (380, 300), mine, np.array([1]), flags, flags, np.ones(1, np.float32))
    again = taught(DetectionData(("cat", "person"), (labelled,), {}), ("gfl-voc",), tmp_path).pictures[0]
    assert again.labels[0] == 1
    assert again.sure is not None
    assert again.sure[0] == 1
    assert picture.boxes[best].tolist() not in again.boxes.tolist()    # it wins
    (tmp_path / "teacher.jsonl").write_text((tmp_path / "teacher.jsonl").read_text() + '{"picture": "cut o')
    taught(DetectionData(("cat", "person"), (labelled,), {}), ("gfl-voc",), tmp_path)
    judged = taught(plain, ("gfl-voc",), tmp_path, whole=True).pictures[0]
    assert judged.sure is not None
    assert (judged.sure[len(picture.boxes):] >= teaching.SURE).all()


def test_a_picture_that_is_cut_off_is_left_out(
    photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cat, cut = photographs / "chelsea/0.jpg", tmp_path / "cut.jpg"
    cut.write_bytes(cat.read_bytes()[:5000])
    both = DetectionData(("cat",), (bare(cut, (380, 300)), bare(cat, (380, 300))), {})
    for _ in range(2):
        assert [one.path for one in taught(both, ("gfl-voc",), tmp_path).pictures] == [cat]
        assert "cut.jpg' is a JPEG that is cut off" in caplog.text


def test_what_cannot_be_taught_is_told(photographs: Path, tmp_path: Path) -> None:
    one = (bare(photographs / "chelsea/0.jpg", (380, 300)),)
    with pytest.raises(DataError, match=r"no teacher \(gfl-voc\) knows any of zebra"):
        taught(DetectionData(("zebra",), one, {}), ("gfl-voc",), tmp_path)
    with pytest.raises(DataError, match=r"no teacher \(gfl-voc\) sees any of train in 1 pictures"):
        taught(DetectionData(("train",), one, {}), ("gfl-voc",), tmp_path)
    with pytest.raises(UsageError, match=r"no teacher knows zebra\. They know: aeroplane"):
        classes_of(("gfl-voc",), ("zebra",))
    assert classes_of(("gfl-voc",), ("airplane", "cat")) == ("airplane", "cat")        # VOC calls it otherwise
    with pytest.raises(ModelError, match="no model 'nobody'"):
        Training("detect", photographs, tmp_path / "run", DetectSettings(teacher=("nobody",)))
    with pytest.raises(UsageError, match="which need a teacher"):
        Training("detect", photographs, tmp_path / "run", DetectSettings(classes=("cat",)))


def test_targets_are_as_sure_as_the_teacher() -> None:
    torch.manual_seed(0)
    scores, boxes = torch.rand(2, 40, 3), torch.rand(2, 40, 4) * 20
    boxes[..., 2:] += boxes[..., :2] + 10
    centres = (boxes[0, :, :2] + boxes[0, :, 2:]) / 2
    objects = torch.tensor([[[0.0, 0, 60, 60], [5, 5, 30, 30]], [[0, 0, 50, 50], [0, 0, 0, 0]]])
    labels, sure = torch.tensor([[0, 2], [1, -1]]), torch.tensor([[1.0, 0.3], [0.5, 0.0]])
    plain, soft = task_aligned(scores, boxes, centres, objects, labels), task_aligned(
        scores, boxes, centres, objects, labels, sure)
    for i, label, share in ((0, 0, 1.0), (0, 2, 0.3), (1, 1, 0.5)):
        assert plain.scores[i, :, label].max() > 0
        torch.testing.assert_close(soft.scores[i, :, label], plain.scores[i, :, label] * share)
    torch.testing.assert_close(soft.weights, soft.scores.amax(2))
    kept_boxes, kept = surest(objects, labels, sure)
    assert kept.tolist() == [[0, -1], [1, -1]]
    assert kept_boxes[0, 0].tolist() == [0, 0, 60, 60]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["nanodet", "ssdlite"])
def test_a_student_learns_from_pictures_alone(photographs: Path, tmp_path: Path, model: str) -> None:
    settings = DetectSettings(
        model=model, teacher=("gfl-voc",), classes=("cat", "person"), epochs=4, batch=4, size=(128, 128),
        crop=(128, 128), mosaic=0.2, lr=1e-3, warmup=0.5, threads=1)
    training = Training("detect", photographs, tmp_path / "run", settings)
    losses: list[float] = []
    done = training.run(lambda progress: losses.append(progress.loss) if progress.done else None)
    assert losses[-1] < losses[0]
    assert done.weights.is_file()
    assert 0 <= done.figures["ap"] <= 1
    assert training.names == ("cat", "person")
    again = Training("detect", photographs, tmp_path / "run", DetectSettings(**{
        **{name: getattr(settings, name) for name in ("model", "teacher", "classes", "batch", "size", "crop", "mosaic",
                                                      "lr", "warmup", "threads")}, "epochs": 5}), resume=True)
    assert again.run().epochs == 5
