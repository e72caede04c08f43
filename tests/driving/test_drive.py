"""The whole: a plan with lanes and drive in Python and on the command line, its records, its errors, real drives."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from record_schema import check_record
from typer.testing import CliRunner

from tests.driving.roads import CAMERA, GROUND, MOUNTING, road
from vision import (
    Card,
    Detect,
    Detector,
    Drive,
    Events,
    FakeEngine,
    FindLanes,
    Frame,
    JsonLines,
    Run,
    Track,
    VideoWriter,
    read,
)
from vision.boxes import iou
from vision.card import Input
from vision.cli import app
from vision.driving.situation import Situation
from vision.driving.upright import NOTE, Upright
from vision.errors import DataError, ModelError, StepError, UsageError
from vision.geometry import Camera, Mounting, Setup, write_setup
from vision.state import dumps, loads
from vision.steps.plan import plan_of
from vision.types import ClassMap

CARD = Card(name="mine", task="detect", file="", licence="", source="", input=Input((640, 360), "stretch"),
            names=("car",))


def scene(k: int) -> Frame:
    """A car whose wheels are 24 m away, and 6 m/s faster nearer."""
    forward = 24 - 6 * k / 20
    foot, w, h = GROUND.pixels([[forward, 0.0]])[0], 1.8 * 520 / forward, 1.5 * 520 / forward
    image = road(start=k, seed=k)
    texture = np.random.default_rng(0).integers(20, 90, (40, 48, 3), np.uint8)
    across = np.array([[w / 48, 0, foot[0] - w / 2], [0, h / 40, foot[1] - h]])
    cv2.warpAffine(texture, across, (640, 360), image, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    return Frame(image, k, k / 20, "made")


FRAMES = [scene(k) for k in range(44)]


def detector() -> Detector:
    """Finds the car where it was put, frame after frame."""
    count = iter(range(1000))

    def network(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        forward = 24 - 6 * next(count) / 20
        foot, w, h = GROUND.pixels([[forward, 0.0]])[0], 1.8 * 520 / forward, 1.5 * 520 / forward
        box = np.float32([[[foot[0] - w / 2, foot[1] - h, foot[0] + w / 2, foot[1]]]])
        return box, np.full((1, 1, 1), 0.9, np.float32)

    return Detector(FakeEngine(network), CARD)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("camera") / "camera.toml"
    write_setup(path, Setup(CAMERA, MOUNTING))
    return path


def test_a_plan_with_drive(camera: Path, tmp_path: Path) -> None:
    plan = [Detect(detector()), Track(), FindLanes(camera=camera), Drive()]
    sinks = [JsonLines(tmp_path / "out.jsonl"), Events(tmp_path / "out.csv")]
    with Run(FRAMES, plan, sinks=sinks) as run:
        items = list(run)
    last: Situation = items[-1]["drive"]
    forward = 24 - 6 * 43 / 20
    assert last.calibrated
    assert last.obstacles.distances[0, 0] == pytest.approx(forward - 0.5, rel=0.08)
    assert last.obstacles.times[0, 0] == pytest.approx(forward / 6, rel=0.12)
    assert last.free is not None
    assert last.free.ranges[15] == pytest.approx(forward, rel=0.1)
    assert "forward collision" in last.active
    assert items[-1].drawn.shape == (360, 640, 3)
    assert np.abs(items[-1].drawn.astype(int) - FRAMES[-1].image).mean() > 5
    for line in (tmp_path / "out.jsonl").read_text().splitlines():
        check_record(json.loads(line))
    record = items[-1].record["drive"]
    assert record["objects"][0]["distance_90"][0] < forward - 0.5 < record["objects"][0]["distance_90"][1]
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [row["event"] for row in rows] == ["forward collision"] * 2
    assert [row["side"] for row in rows] == ["begin", "end"]
    assert 1.5 < float(rows[0]["ttc_s"]) < 2.7


def test_without_a_calibration(tmp_path: Path) -> None:
    with Run(FRAMES, [Detect(detector()), Track(), FindLanes(), Drive()],
             sinks=[Events(tmp_path / "out.jsonl")]) as run:
        items = list(run)
    assert any("uncalibrated" in note for note in run.report.notes)
    text = json.dumps(items[-1].record)
    assert "_m\"" not in text
    assert "distance" not in text
    assert items[-1].record["drive"]["objects"][0]["ttc_s"] == pytest.approx(11.1 / 6, rel=0.12)
    for line in (tmp_path / "out.jsonl").read_text().splitlines():
        check_record(json.loads(line))


def turned(frame: Frame) -> Frame:
    return replace(frame, image=np.ascontiguousarray(frame.image[::-1, ::-1]))


def test_a_camera_that_is_upside_down_is_told_by_its_lines() -> None:
    for frames, told in ((FRAMES[:40:10], False), ([turned(one) for one in FRAMES[:40:10]], True)):
        with Run([replace(one, time=float(i)) for i, one in enumerate(frames)], FindLanes()) as run:
            run.finish()
        assert (NOTE in run.report.notes) is told


def test_the_dark_above_a_lit_road_is_night() -> None:
    upright = Upright()
    for k in range(4):
        image = road(start=k, seed=k)
        image[: round(GROUND.horizon())] = 5
        upright.look(image, float(k))
    assert upright.notes == ()


def test_the_sky_says_which_way_up_a_camera_is() -> None:
    """And what was seen goes along with a state."""
    above = np.zeros((80, 160), np.uint8)
    above[:30] = 1
    maps = [ClassMap(above), ClassMap(above[::-1].copy())]
    for way, told in zip(maps, ((), (NOTE,)), strict=True):
        first, second = Upright(), Upright()
        first.sky(way, ("road", "Sky"))
        assert first.notes == ()                                         # one map is no evidence
        second.restore(loads(dumps(first.state())))
        second.sky(way, ("road", "Sky"))
        assert second.notes == told


@pytest.mark.realdata
def test_real_roads_turned_round_are_told_and_others_are_not(data: Path) -> None:
    for way, told in ((1, ()), (-1, (NOTE,))):
        upright = Upright()
        for i, frame in enumerate(read(data / "videos" / "dashcam_solidWhiteRight.mp4", stride=60)):
            upright.look(np.ascontiguousarray(frame.image[::way, ::way]), float(i))
        assert upright.notes == told


def test_it_goes_on_where_it_was(camera: Path) -> None:
    from vision.state import dumps, loads

    def steps(count: int) -> list[object]:
        found = []
        with Run(FRAMES[:count], [Detect(detector()), Track(), FindLanes(camera=camera), Drive()]) as run:
            found = [(item["track"], item["lanes"], item["drive"]) for item in run]
        return found

    whole = steps(30)
    spec = Drive()
    one, other = (spec.open(None, None) for _ in range(2))
    for step in (one, other):
        step.names = ("car",)
    for k, (tracks, lanes, _) in enumerate(whole):
        sofar = {"track": tracks, "lanes": lanes}
        first = one.begin(FRAMES[k], sofar)()
        if k == 20:
            other.restore(loads(dumps(one.state() or {})))
        if k > 20:
            assert json.dumps(first.to_dict(("car",))) == json.dumps(other.begin(FRAMES[k], sofar)().to_dict(("car",)))


def test_what_is_wrong_is_said_in_a_line(camera: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--height gives metres only together with a calibration"):
        Run(FRAMES, [FindLanes(height=1.3)])
    with pytest.raises(UsageError, match="--pitch tells metres only together with how high"):
        Run(FRAMES, [FindLanes(pitch=2.0)])
    with pytest.raises(DataError, match="cannot be read"):
        Run(FRAMES, [FindLanes(camera=tmp_path / "none.toml")])
    with pytest.raises(UsageError, match="'drive' needs the results of 'track', which is not in the plan"):
        Run(FRAMES, [Drive()])
    small = [Frame(np.zeros((240, 320, 3), np.uint8), 0, 0.0)]
    with pytest.raises((UsageError, StepError), match="calibrated for 640x360, and the frames have 320x240"):
        Run(small, [FindLanes(camera=camera)]).finish()
    write_setup(tmp_path / "up.toml", Setup(Camera((640, 360), (520, 520), (320, 180)), Mounting(1.3, -40)))
    with pytest.raises((UsageError, StepError), match="the horizon lies below the picture"):
        Run(FRAMES[:2], [FindLanes(camera=tmp_path / "up.toml")]).finish()
    with pytest.raises(ModelError, match="no model 'twinlite'"):
        Run(FRAMES[:2], [FindLanes("twinlite")]).finish()


def test_a_plan_of_a_name() -> None:
    assert [(one.task, one.every) for one in plan_of(["drive"])] == [
        ("detect", 1), ("track", 1), ("segment", 5), ("lanes", 1), ("drive", 1)]
    assert [one.task for one in plan_of(["drive"], free_only=True)] == ["detect", "track", "lanes", "drive"]
    asked = plan_of(["segment", "drive"], free_only=True)
    assert (asked[0].task, asked[0].every) == ("segment", 1)


def test_the_command(camera: Path, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4") as film:
        for frame in FRAMES[:8]:
            film.write(frame.image, frame.time)
    found = tmp_path / "out.jsonl"
    done = CliRunner().invoke(app, [
        "drive", str(tmp_path / "clip.mp4"), "--camera", str(camera), "--free-only", "--device", "cpu",
        "--jsonl", str(found), "-o", str(tmp_path / "out.mp4"), "--events", str(tmp_path / "events.jsonl")])
    assert done.exit_code == 0, f"{done.output}{done.exception}"
    records = [json.loads(line) for line in found.read_text().splitlines()]
    assert len(records) == 8
    for record in records:
        check_record(record)
        assert record["lanes"]["width_m"] == pytest.approx(3.6, abs=0.2)
        assert record["drive"]["free"]["ranges_m"]
        assert "segment" not in record
    with read(tmp_path / "out.mp4") as film:
        assert len(list(film)) == 8


@pytest.fixture(scope="module")
def kitti(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict[str, str], Situation]]:
    """The lead car's rows and the situations of KITTI's frames."""
    calib = json.loads((data / "driving/kitti/calib.json").read_text())
    p = calib["P_rect_00"]
    path = tmp_path_factory.mktemp("kitti") / "camera.toml"
    lens = Camera((calib["width"], calib["height"]), (p[0][0], p[1][1]), (p[0][2], p[1][2]))
    write_setup(path, Setup(lens, Mounting(calib["camera_height_m"])))
    rows = list(csv.DictReader((data / "driving/kitti/distance.csv").open()))
    plan = [Detect(model="gfl-voc"), Track(), FindLanes(camera=path), Drive()]
    with Run(read(data / "driving/kitti/frames", rate=10), plan) as run:
        return [(row, item["drive"]) for row, item in zip(rows, run, strict=True)]


def lead(row: dict[str, str], found: Situation) -> int:
    """Which object is the lead car, by its labelled box."""
    label = np.float32([[float(row[side]) for side in ("x0", "y0", "x1", "y1")]])
    overlap = iou(found.obstacles.boxes, label)[:, 0]
    assert overlap.max() > 0.5
    return int(overlap.argmax())


@pytest.mark.realdata
def test_the_distance_of_the_lead_car(kitti: list[tuple[dict[str, str], Situation]]) -> None:
    errors, inside = [], []
    for row, found in kitti:
        n, true = lead(row, found), float(row["distance_p5_m"]) - 0.27
        value, low, high = found.obstacles.distances[n].tolist()
        errors.append(abs(value / true - 1))
        inside.append(low <= true <= high)
        assert found.obstacles.in_path[n]
    assert np.median(errors) < 0.08
    assert np.mean(inside) >= 0.85


@pytest.mark.realdata
def test_the_time_to_collision(kitti: list[tuple[dict[str, str], Situation]]) -> None:
    times = np.array([float(row["time_s"]) for row, _ in kitti])
    metres = np.array([float(row["distance_p5_m"]) for row, _ in kitti])
    errors = []
    for k, (row, found) in enumerate(kitti):
        near = np.abs(times - times[k]) <= 0.5 + 1e-6
        closing = -np.polyfit(times[near], metres[near], 1)[0]
        seconds = float(found.obstacles.times[lead(row, found), 0])
        if closing > 0.5 and times[k] >= 0.5:
            errors.append(abs(seconds / (metres[k] / closing) - 1))
    assert len(errors) > 30
    assert np.median(errors) < 0.15


@pytest.mark.realdata
def test_a_queue_is_no_alarm(kitti: list[tuple[dict[str, str], Situation]]) -> None:
    assert [event.kind for _, found in kitti for event in found.events] == []


@pytest.mark.realdata
@pytest.mark.slow
def test_the_clip_warns_of_nothing(data: Path) -> None:
    plan = [Detect(model="gfl-voc"), Track(), FindLanes(), Drive()]
    with Run(read(data / "videos/dashcam_solidWhiteRight.mp4", max_frames=120), plan) as run:
        assert [event.kind for item in run for event in item["drive"].events] == []
