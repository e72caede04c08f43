"""Top-k accuracy and the list of labelled pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from vision.data.classification import labelled_pictures
from vision.errors import DataError
from vision.metrics.classification import accuracy
from vision.types import Scores

NAMES = ["cat", "dog", "bird"]


def listing(folder: Path, text: str) -> Path:
    (folder / "a.jpg").touch()
    (folder / "b.jpg").touch()
    path = folder / "labels.csv"
    path.write_text(text)
    return path


def test_accuracy_counts_labels_among_the_best() -> None:
    results = [Scores([0.6, 0.3, 0.1]), Scores([0.1, 0.2, 0.7]), Scores([0.5, 0.1, 0.4])]
    assert accuracy(results, [0, 1, 2], k=1) == pytest.approx(1 / 3)
    assert accuracy(results, [0, 1, 2], k=2) == 1
    with pytest.raises(DataError, match="at least one picture"):
        accuracy([], [])


@pytest.mark.parametrize("text", [
    "file,label\na.jpg,dog\nb.jpg,bird\nnone.jpg,cat\n",
    "file,class_id\na.jpg,1\nb.jpg,2\nnone.jpg,0\n",
    "file,wnid,index_in_sorted_wnids,name\na.jpg,n01,1,x\nb.jpg,n02,2,y\nnone.jpg,n03,0,z\n",
])
def test_labels_by_name_or_by_index(tmp_path: Path, text: str) -> None:
    pictures, left_out = labelled_pictures(listing(tmp_path, text), NAMES)
    assert [(p.name, label) for p, label in pictures] == [("a.jpg", 1), ("b.jpg", 2)]
    assert left_out == ["rows without a file, left out: 1"]


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for place in ("Dog/b2.jpg", "Dog/b10.jpg", "Dog/notes.txt", "bird/deep/c.png", "cow/d.jpg", "light_house/e.jpg"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    pictures, left_out = labelled_pictures(tmp_path, (*NAMES, "light house"))
    assert [(p.name, label) for p, label in pictures] == [("c.png", 2), ("b2.jpg", 1), ("b10.jpg", 1), ("e.jpg", 3)]
    assert left_out == ["folders that are no class of the model, left out: cow"]
    with pytest.raises(DataError, match=r"'bird' is no class of the model\. There are: .*a folder for each class"):
        labelled_pictures(tmp_path, ("x", "y"))
    with pytest.raises(DataError, match="no pictures of a class"):
        labelled_pictures(tmp_path / "Dog", NAMES)


@pytest.mark.parametrize(("text", "message"), [
    ("file,label\na.jpg,cow\n", r"line 2: no such class \('cow'\)"),
    ("file,class_id\na.jpg,0\nb.jpg,3\n", "line 3: class 3 of 3"),
    ("file,class_id\na.jpg,one\n", "line 2: no such class"),
    ("picture,label\na.jpg,cat\n", r"'file' and 'label' or 'class_id'; got \['label', 'picture'\]"),
    ("", r"got \[\]"),
    ("file,label\nc.jpg,cat\n", "lists 1 pictures; none of them is beside it"),
])
def test_a_list_that_cannot_be_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        labelled_pictures(listing(tmp_path, text), NAMES)
