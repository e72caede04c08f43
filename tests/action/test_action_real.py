"""The shipped recognizer on real video: a film spliced from clips of the three classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from record_schema import check_record
from typer.testing import CliRunner

from vision.cli import app
from vision.io import read
from vision.sinks.film import VideoWriter
from vision.tasks.action import Recognizer
from vision.types import Frame

PARTS = (
    ("PushUps", "PushUps/v_PushUps_g15_c01"),
    ("Punch", "Punch/v_Punch_g12_c01"),
    ("BabyCrawling", "BabyCrawling/v_BabyCrawling_g16_c01"),
    ("PushUps", "PushUps/v_PushUps_g14_c01"),
)


def spliced(data: Path, path: Path, parts: Sequence[tuple[str, str]]) -> list[tuple[str, float, float]]:
    """Up to six seconds of each clip, one after the other; the truth: label, start, end in seconds."""
    truth, shown = [], 0
    with VideoWriter(path) as film:
        for label, name in parts:
            start = shown / 25
            for frame in read(data / "ucf101" / f"{name}.avi", end=6.0):
                film.write(frame.image, shown / 25)
                shown += 1
            truth.append((label, start, shown / 25))
    return truth


@pytest.mark.slow
@pytest.mark.realdata
def test_the_segments_of_a_spliced_film_are_within_a_second_of_the_truth(data: Path, tmp_path: Path) -> None:
    truth = spliced(data, tmp_path / "film.mp4", PARTS)
    files = {kind: tmp_path / f"out.{kind}" for kind in ("mp4", "jsonl", "ass", "png")}
    ran = CliRunner().invoke(app, [
        "action", str(tmp_path / "film.mp4"), "-o", str(files["mp4"]), "--jsonl", str(files["jsonl"]),
        "--segments", str(tmp_path / "segments.jsonl"), "--timeline", str(files["png"]), "-q",
    ])
    assert ran.exit_code == 0, ran.output
    found = [json.loads(line) for line in (tmp_path / "segments.jsonl").read_text().splitlines()]
    assert [s["label"] for s in found] == [label for label, _, _ in truth]
    for segment, (_, start, end) in zip(found, truth, strict=True):
        assert segment["start_s"] == pytest.approx(start, abs=1.0)
        assert segment["end_s"] == pytest.approx(end, abs=1.0)

    records = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    assert len(records) == sum(1 for _ in read(tmp_path / "film.mp4")) == sum(1 for _ in read(files["mp4"]))
    for record in records:
        check_record(record)
    assert records[0]["action"]["action"] is None                    # the window is not full yet
    assert records[-1]["action"]["action"]["label"] == "PushUps"
    assert cv2.imread(str(files["png"])).shape[1] == 1000


@pytest.mark.slow
@pytest.mark.realdata
def test_segments_do_not_depend_on_the_frame_rate(data: Path, tmp_path: Path) -> None:
    spliced(data, tmp_path / "film.mp4", PARTS[:2])
    model = Recognizer.load()
    found = []
    for stride in (1, 2):                                  # 25 and 12.5 frames a second
        stream = model.stream()
        for frame in read(tmp_path / "film.mp4", stride=stride):
            stream(frame)
        found.append([(s.label, s.start, s.end) for s in stream.finish()])
    assert [s[0] for s in found[0]] == [s[0] for s in found[1]]
    assert np.allclose([s[1:] for s in found[0]], [s[1:] for s in found[1]], atol=0.35)


@pytest.mark.slow
@pytest.mark.realdata
def test_descriptors_of_videos_have_length_one(data: Path, tmp_path: Path) -> None:
    path = data / "ucf101" / "PushUps" / "v_PushUps_g22_c01.avi"
    ran = CliRunner().invoke(app, ["features", str(path), "-o", str(tmp_path / "f.npz")])
    assert ran.exit_code == 0, ran.output
    found = np.load(tmp_path / "f.npz")
    assert found["sources"].tolist() == [str(path)]
    assert np.linalg.norm(found["descriptors"], axis=1) == pytest.approx([1.0], abs=1e-5)


@pytest.mark.slow
@pytest.mark.realdata
def test_the_evaluation_tells_videos_from_clips(data: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, [
        "eval", "action", "--data", str(data / "ucf101"), "--clips", "1", "-q",
        "--report", str(tmp_path / "r.json"), "--confusion", str(tmp_path / "c.png"),
        "--html", str(tmp_path / "page.html"),
    ])
    assert ran.exit_code == 0, ran.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["videos"] == 45
    assert not {"clips", "clip_top1"} & set(report)        # a clip a video: they would say the same twice
    assert report["top1"] >= 0.9                           # its own training videos
    assert np.array(report["confusion"]).sum(axis=1).tolist() == [15, 15, 15, 0]
    assert np.array(report["confusion"])[:, 3].sum() == 0      # none is no answer where no video shows none
    assert cv2.imread(str(tmp_path / "c.png")) is not None
    wrong = round(45 * (1 - report["top1"]))
    assert (tmp_path / "page.html").read_text().count("<figure data-at=") == wrong


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("film", ["vtest.avi", "demo.mp4", "dashcam_solidWhiteRight.mp4"])
def test_it_stays_idle_on_films_of_something_else(data: Path, tmp_path: Path, film: str) -> None:
    records = tmp_path / "records.jsonl"
    ran = CliRunner().invoke(app, ["action", str(data / "videos" / film), "--jsonl", str(records), "--quiet"])
    assert ran.exit_code == 0, ran.output
    frames = [json.loads(line)["action"] for line in records.read_text().splitlines() if '"frame"' in line]
    idle = [one["action"] is None for one in frames if one["scores"]]
    assert len(idle) > 200
    assert np.mean(idle) >= 0.95


@pytest.mark.realdata
def test_it_tells_people_who_walk_from_what_it_knows(data: Path) -> None:
    model = Recognizer.load()
    stream = model.stream()
    paths = sorted((data / "mot" / "TUD-Campus" / "img1").iterdir())
    walkers = [stream(Frame(cv2.imread(str(path)), index, index / 25)) for index, path in enumerate(paths)]
    labels = [one.label for one in walkers if one is not None]
    assert labels
    assert set(labels) == {-1}
