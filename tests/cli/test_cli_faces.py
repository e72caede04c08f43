"""`vision landmarks` and `vision pose`: pictures, videos, records, figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from record_schema import check_record

from vision.cli import main
from vision.io import read
from vision.sinks.film import VideoWriter
from vision.tasks.detect import Detector
from vision.types import Detections


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clip(tmp_path: Path, photos: dict[str, Path]) -> Path:
    """Twelve frames of 480x480, 25 a second: a face that wanders to the left."""
    photo = cv2.imread(str(photos["zidane"]))
    path = tmp_path / "clip.mp4"
    with VideoWriter(path) as out:
        for i in range(12):
            out.write(np.ascontiguousarray(photo[0:480, 740 + 4 * i : 1220 + 4 * i]), i / 25)
    return path


def vision_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """The exit code of `vision ARGUMENTS`, run in this process."""
    monkeypatch.setattr(sys, "argv", ["vision", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def lines(path: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        check_record(record)
    return records


def test_landmarks_of_a_video(monkeypatch: pytest.MonkeyPatch, clip: Path):
    outputs = ("-o", "out.mp4", "--jsonl", "out.jsonl", "--csv", "out.csv")
    assert vision_cli(monkeypatch, "landmarks", clip, *outputs, "-q") == 0
    records = lines(Path("out.jsonl"))
    assert [record["time_s"] for record in records] == [round(i / 25, 6) for i in range(12)]
    assert [[face["id"] for face in record["faces"]["objects"]] for record in records] == [[1]] * 12
    assert {face["eyes"]["right"]["state"] for record in records for face in record["faces"]["objects"]} == {"open"}
    way = [np.mean(record["faces"]["objects"][0]["points"], axis=0)[0] for record in records]
    assert way[0] - way[-1] == pytest.approx(44, abs=4)
    assert len(Path("out.csv").read_text().splitlines()) == 13
    with read("out.mp4") as drawn:
        assert sum(1 for _ in drawn) == 12


def test_landmarks_of_pictures_have_no_ids(monkeypatch: pytest.MonkeyPatch, photos: dict[str, Path]):
    sources = (photos["zidane"], photos["bus"])
    options = ("--jsonl", "out.jsonl", "--focal", "1200", "-q")
    assert vision_cli(monkeypatch, "landmarks", *sources, *options) == 0
    for record in lines(Path("out.jsonl")):
        assert len(record["faces"]["objects"]) == 2
        assert all("id" not in face and face["distance_m"] > 0.3 for face in record["faces"]["objects"])


def test_faces_that_lie_are_not_found_and_the_summary_says_how(
    monkeypatch: pytest.MonkeyPatch, photos: dict[str, Path], capfd: pytest.CaptureFixture[str]
):
    cv2.imwrite("lying.png", np.ascontiguousarray(np.rot90(cv2.imread(str(photos["zidane"])))))
    assert vision_cli(monkeypatch, "faces", "lying.png", "--jsonl", "out.jsonl") == 0
    told = " ".join(capfd.readouterr().err.split())
    assert "no face in 1 frame. Faces that lie on their side or upside down are found with --turned." in told
    assert vision_cli(monkeypatch, "faces", "lying.png", "--turned", "--jsonl", "out.jsonl") == 0
    assert "--turned" not in capfd.readouterr().err
    assert len(lines(Path("out.jsonl"))[0]["faces"]["objects"]) == 2


def test_pose_of_a_picture_and_a_video(monkeypatch: pytest.MonkeyPatch, photos: dict[str, Path]):
    boxes = np.array([[219, 385, 346, 862], [46, 393, 240, 905]], np.float32)
    asked = []

    class People:
        """A detector that knows where they are."""

        names, in_flight = ("person",), 1

        def submit(self, images: list[np.ndarray], **options: object) -> Callable[[], list[Detections]]:
            asked.append(options)
            return lambda: [Detections(boxes, np.ones(2), np.zeros(2)) for _ in images]

        def __call__(self, image: np.ndarray, **options: object) -> Detections:
            return self.submit([image], **options)()[0]

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr(Detector, "load", lambda *args: People())
    bus = cv2.imread(str(photos["bus"]))
    with VideoWriter("people.mp4") as out:
        for i in range(4):
            out.write(bus, i / 25)
    sources = (photos["bus"], "people.mp4")
    assert vision_cli(monkeypatch, "pose", *sources, "--jsonl", "out.jsonl", "-o", ".", "-q") == 0
    picture, *video = lines(Path("out.jsonl"))
    assert len(video) == 4
    assert len(picture["pose"]["objects"]) == 2
    assert [[person["id"] for person in record["pose"]["objects"]] for record in video] == [[1, 2]] * 4
    assert asked == [{"classes": ("person",), "min_score": None}] * 2        # the picture, the first frame
    assert Path("bus-pose.png").is_file()
    assert Path("people-pose.mp4").is_file()


def test_eval_landmarks(
    monkeypatch: pytest.MonkeyPatch, photos: dict[str, Path], capsys: pytest.CaptureFixture[str]
):
    """Labels made of its own points, 2 pixels to the right: the error is 2 over the eyes' distance."""
    from vision.people.landmarks import FaceLandmarker
    from vision.people.mesh import IBUG68

    points = FaceLandmarker.load()(cv2.imread(str(photos["zidane"]))).points[:, IBUG68]
    head = ",".join(["image", *(f"{axis}{i}" for i in range(68) for axis in "xy")])
    moved = points + np.array([2, 0])
    rows = [f"zidane.jpg,{','.join(f'{v:.3f}' for v in face.ravel())}" for face in moved]
    Path("points.csv").write_text("\n".join([head, *rows]) + "\n")
    code = vision_cli(
        monkeypatch, "eval", "landmarks", "--data", "points.csv", "--images", photos["zidane"].parent,
        "--report", "report.json", "-q",
    )
    assert code == 0
    figures = json.loads(Path("report.json").read_text())
    expected = np.mean([2 / np.linalg.norm(face[36] - face[45]) for face in points])
    assert figures["nme_ocular"] == pytest.approx(expected, rel=0.01)
    assert (figures["found"], figures["faces"], figures["surplus"]) == (2, 2, 0)
    assert "2 of 2 faces found" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [
    ["landmarks", "clip.mp4", "--focal", "0"], ["landmarks", "clip.mp4", "--detector", "nothing"],
    ["pose", "clip.mp4", "--min-presence", "3"],
])
def test_options_that_cannot_be(monkeypatch: pytest.MonkeyPatch, clip: Path, arguments: list[str]):
    assert vision_cli(monkeypatch, *arguments) != 0
    assert list(Path().glob("clip-*")) == []
