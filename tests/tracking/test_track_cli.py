"""`vision track` and `vision count`: a run from stored detections is the run with the model."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from record_schema import check_record
from typer.testing import CliRunner

from vision.card import Card, Input
from vision.cli import app
from vision.engine import FakeEngine
from vision.errors import SinkError, UsageError, VisionError
from vision.io import Source, read
from vision.sinks.film import VideoWriter
from vision.tasks.classify import Classifier
from vision.tasks.detect import Detector
from vision.tracking.stored import Stored
from vision.types import Frame, Scores

CARD = Card(name="fake", task="detect", net="ssdlite", file="fake", licence="Apache-2.0", source="a test",
            input=Input((64, 64), "stretch"), names=("dark", "bright"))


def squares(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    """Finds bright squares: a detector of one box per blob, with a score that wavers."""
    boxes, scores = np.zeros((len(batch), 4, 4), np.float32), np.zeros((len(batch), 4, 2), np.float32)
    for n, image in enumerate(batch):
        count, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 1] > 128).astype(np.uint8))
        for k in range(1, min(count, 5)):
            x, y, w, h = stats[k, :4]
            boxes[n, k - 1], scores[n, k - 1, 1] = (x, y, x + w, y + h), 0.7 + 0.03 * k + 0.0012345 * (x % 7)
    return boxes, scores


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two squares that pass each other, 40 frames; a detector that finds them."""
    monkeypatch.setattr(Detector, "load", classmethod(lambda cls, *_: cls(FakeEngine(squares), CARD)))
    path = tmp_path / "clip.mp4"
    with VideoWriter(path) as video:
        for n in range(40):
            image = np.zeros((96, 160, 3), np.uint8)
            cv2.rectangle(image, (4 + 3 * n, 10), (24 + 3 * n, 40), (255, 255, 255), -1)
            cv2.rectangle(image, (130 - 3 * n, 55), (150 - 3 * n, 85), (255, 255, 255), -1)
            video.write(image, n / 10)
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_tracking_from_records_is_tracking_with_the_model(clip: Path, tmp_path: Path) -> None:
    found, full, again = (tmp_path / f"{n}.jsonl" for n in ("found", "full", "again"))
    run("track", clip, "-q", "--jsonl", full, "--mot", tmp_path / "full.txt")
    found.write_bytes(full.read_bytes())                        # the records carry the weak boxes too
    run("track", clip, "-q", "--jsonl", again, "--from", found, "--mot", tmp_path / "again.txt")
    assert tracks(full) == tracks(again)
    assert (tmp_path / "full.txt").read_bytes() == (tmp_path / "again.txt").read_bytes()
    assert {o["id"] for r in lines(full) for o in r["track"]["objects"]} == {1, 2}
    assert all(len(r["track"]["objects"]) == 2 for r in lines(full)[1:])
    detected = tmp_path / "detected.jsonl"                      # what `vision detect` writes serves too
    run("detect", clip, "-q", "--jsonl", detected, "--min-score", 0.1)
    run("track", clip, "-q", "--jsonl", again, "--from", detected)
    assert [[o["id"] for o in t] for t in tracks(full)] == [[o["id"] for o in t] for t in tracks(again)]


def tracks(path: Path) -> list[list[dict]]:
    """What was tracked in each frame, without where the boxes came from."""
    return [row["track"]["objects"] for row in lines(path)]


def test_classes_of_records_are_chosen_as_a_detector_chooses_them(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upper_dark(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        boxes, scores = squares(batch)
        upper = boxes[..., 3] < 32                                     # of the 64 rows that it is fed
        scores[..., 0] = np.where(upper, scores[..., 1], 0)
        scores[..., 1] = np.where(upper, 0, scores[..., 1])
        return boxes, scores

    monkeypatch.setattr(Detector, "load", classmethod(lambda cls, *_: cls(FakeEngine(upper_dark), CARD)))
    found, full, again = (tmp_path / f"{n}.jsonl" for n in ("found", "full", "again"))
    run("track", clip, "-q", "--jsonl", found)
    assert {(o["id"], o["label"]) for r in lines(found) for o in r["track"]["objects"]} == {(1, "bright"), (2, "dark")}
    run("track", clip, "-q", "--jsonl", full, "--classes", "dark")
    run("track", clip, "-q", "--jsonl", again, "--classes", "dark,unseen", "--from", found)
    assert tracks(full) == [[o | {"row": 0} for o in t] for t in tracks(again)]
    assert {(o["id"], o["label"]) for r in lines(full) for o in r["track"]["objects"]} == {(1, "dark")}
    with pytest.raises(UsageError, match=r"nothing called 'drak'\. It has: dark, bright"):
        Stored.read(found).only(["drak"])
    run("detect", clip, "-q", "--jsonl", found, "--classes", "bright")          # knows no name for class 0
    with pytest.raises(UsageError, match=r"nothing called '0'\. It has: bright\."):
        Stored.read(found).only(["0"])


def test_a_model_with_low_scores_is_followed_from_its_own_threshold(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both squares at 0.3, where the card decides at 0.2: followed; from the records too."""
    def faint(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        boxes, scores = squares(batch)
        return boxes, np.where(scores > 0, np.float32(0.3), 0)

    card = replace(CARD, min_score=0.2)
    monkeypatch.setattr(Detector, "load", classmethod(lambda cls, *_: cls(FakeEngine(faint), card)))
    found, detected, full, again = (tmp_path / f"{n}.jsonl" for n in ("found", "detected", "full", "again"))
    run("track", clip, "-q", "--jsonl", full)
    found.write_bytes(full.read_bytes())
    assert {o["id"] for r in lines(full) for o in r["track"]["objects"]} == {1, 2}
    run("detect", clip, "-q", "--jsonl", detected)
    assert {r["detect"]["min_score"] for r in (*lines(found), *lines(detected))} == {0.2}
    for records in (found, detected):
        run("track", clip, "-q", "--jsonl", again, "--from", records)
        assert tracks(full) == tracks(again)
    run("track", clip, "-q", "--jsonl", again, "--from", found, "--min-score", 0.5)      # asked for more
    assert all(r["track"]["objects"] == [] for r in lines(again))
    run("track", clip, "-q", "--jsonl", found, "--min-score", 0.5)
    assert lines(found)[0]["detect"]["min_score"] == 0.5
    run("track", clip, "-q", "--jsonl", again, "--from", found)
    assert tracks(found) == tracks(again)


def test_counting_from_records_is_counting_with_the_model(clip: Path, tmp_path: Path) -> None:
    outputs = []
    for name, extra in (("full", []), ("again", ["--from", tmp_path / "full.jsonl"])):
        events, table = tmp_path / f"{name}-events.jsonl", tmp_path / f"{name}.csv"
        for path in (events, table):
            run("count", clip, "-q", "--line", "80,96,80,0", "--events", path,
                "--jsonl", tmp_path / f"{name}.jsonl", *extra)
        counts = [row["count"] for row in lines(tmp_path / f"{name}.jsonl")]
        outputs.append([events.read_bytes(), table.read_bytes(), tracks(tmp_path / f"{name}.jsonl"), counts])
    assert outputs[0] == outputs[1]
    rows = lines(tmp_path / "full-events.jsonl")
    assert sorted((r["side"], r["label"]) for r in rows) == [("left", "bright"), ("right", "bright")]
    assert lines(tmp_path / "full.jsonl")[-1]["count"]["totals"] == {"line 1": {"right": 1, "left": 1}}
    assert len((tmp_path / "full.csv").read_text().splitlines()) == 3


def test_records_fit_the_schema(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    scene = tmp_path / "scene.toml"
    scene.write_text(
        '[[line]]\nname = "l"\nstart = [80, 96]\nend = [80, 0]\n[[zone]]\nname = "z"\n'
        "points = [[0, 0], [100, 0], [100, 96], [0, 96]]\n[ground]\n"
        "image = [[0, 0], [160, 0], [160, 96], [0, 96]]\nmetres = [[0, 0], [16, 0], [16, 9.6], [0, 9.6]]\n"
    )
    for command, *options in (
        ["track"], ["count", "--scene", scene], ["follow", "--box", "4,10,20,30"]
    ):
        run(command, clip, "-q", "--jsonl", out, *options)
        rows = lines(out)
        assert len(rows) == 40
        for row in rows:
            check_record(row)
        if command == "count":                      # 3 pixels a frame, 10 frames a second, 0.1 m a pixel
            speeds = [o["speed_m_s"] for row in rows[20:] for o in row["count"]["speeds"]]
            assert speeds == [pytest.approx(3.0, rel=0.1)] * len(speeds)


def test_a_box_drawn_in_a_window_is_the_box_given(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is a fake; what the user draws there, and leaves undone, is what OpenCV would tell."""
    shown: list[np.ndarray] = []
    hand: list[tuple[int, int, int]] = []                               # what the mouse does, at x and y
    heard: list[Any] = []

    def key(milliseconds: int) -> int:
        if not hand:
            return ord("q") if len(shown) > 20 else 13
        event, x, y = hand.pop(0)
        heard[-1](event, x, y, 0, None)
        return -1

    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "setMouseCallback", lambda _, callback: heard.append(callback))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(image.copy()))
    monkeypatch.setattr(cv2, "waitKey", key)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    given, by_hand = tmp_path / "given.jsonl", tmp_path / "by_hand.jsonl"
    run("follow", clip, "-q", "--jsonl", given, "--box", "4,10,20,30")
    assert shown == []                                                  # nobody is asked
    down, up, move = cv2.EVENT_LBUTTONDOWN, cv2.EVENT_LBUTTONUP, cv2.EVENT_MOUSEMOVE
    for way in (
        [(down, 4, 10), (move, 9, 20), (up, 24, 40)],                   # dragged
        [(down, 24, 40), (up, 24, 40), (down, 4, 10), (up, 4, 10)],     # two clicks, the other way round
        [(down, 1, 1), (up, 60, 60), (down, 4, 10), (up, 24, 40)],      # and once more
    ):
        hand[:] = way
        shown.clear()
        run("follow", clip, "-q", "--jsonl", by_hand)
        assert by_hand.read_bytes() == given.read_bytes()
    white = shown[0][..., 1] > 128
    white[:12] = False                                                  # the mouse's coordinates
    np.testing.assert_allclose(np.argwhere(white).min(axis=0), [12, 4], atol=1)      # the first frame

    result = CliRunner().invoke(app, ["follow", str(clip), "-q", "--jsonl", str(by_hand)])
    assert (result.exit_code != 0, "no box was drawn" in result.output) == (True, True)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], -6))
    result = CliRunner().invoke(app, ["follow", str(clip), "-q", "--jsonl", str(by_hand)])
    assert (result.exit_code != 0, "no display to draw a box on" in str(result.exception)) == (True, True)
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    result = CliRunner().invoke(app, ["follow", str(clip), "-q", "--jsonl", str(by_hand)])
    assert (result.exit_code != 0, "no display to draw a box on" in str(result.exception)) == (True, True)


def test_a_counted_video_shows_lines_and_totals(clip: Path, tmp_path: Path) -> None:
    run("count", clip, "-q", "--line", "80,96,80,0", "--save-frames", tmp_path / "frames")
    picture = cv2.imread(str(sorted((tmp_path / "frames").glob("*.png"))[-1]))
    assert (np.abs(picture[70:90, 78:83].astype(int) - [0, 200, 255]).max(axis=2) < 30).any()      # amber


def test_looks_of_a_frame_with_nothing_in_it(clip: Path, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    class Eyes:
        names = ("dark", "bright", "grey")

        def close(self) -> None:
            """Nothing is open."""

        def batch(self, pictures: list[np.ndarray]) -> list[Scores]:
            return [Scores(np.array([0.1, 0.8, 0.1])) for _ in pictures]

    monkeypatch.setattr(Classifier, "load", classmethod(lambda cls, *_: Eyes()))
    path = tmp_path / "late.mp4"
    with VideoWriter(path) as video:
        for n in range(12):
            image = np.zeros((96, 160, 3), np.uint8)
            if 4 <= n < 9:
                cv2.rectangle(image, (40 + 3 * n, 10), (60 + 3 * n, 40), (255, 255, 255), -1)
            video.write(image, n / 10)
    out = tmp_path / "out.jsonl"
    run("track", path, "-q", "--jsonl", out, "--looks", "eyes")
    assert [[o["id"] for o in row["track"]["objects"]] for row in lines(out)] == [*[[]] * 5, *[[1]] * 4, *[[]] * 3]


def test_pictures_have_the_time_of_their_sequence(clip: Path, tmp_path: Path) -> None:
    """In the records, in the events, in the written video and for --start; `detect`, which knows of no
    rate, numbers them, and serves for --from."""
    folder = tmp_path / "seq" / "img1"
    run("detect", clip, "-q", "--save-frames", folder)
    for n, path in enumerate(sorted(folder.glob("*.png"))):
        image = np.zeros((96, 160, 3), np.uint8)
        cv2.rectangle(image, (4 + 3 * n, 10), (24 + 3 * n, 40), (255, 255, 255), -1)
        cv2.imwrite(str(path), image)
    out, events, found = (tmp_path / f"{n}.jsonl" for n in ("out", "events", "found"))
    run("count", folder, "-q", "--jsonl", out, "--events", events, "--line", "80,96,80,0", "--rate", 20,
        "-o", tmp_path / "out.mp4")
    assert [row["time_s"] for row in lines(out)] == [n / 20 for n in range(40)]
    assert [row["time_s"] for row in lines(events)] == [pytest.approx((80 - 14) / 3 / 20, abs=0.02)]
    with read(tmp_path / "out.mp4") as video:
        assert [frame.time for frame in video] == [pytest.approx(n / 20, abs=1e-3) for n in range(40)]
    ini = "[Sequence]\nframeRate=20\nseqLength=40\nimWidth=160\nimHeight=96\n"
    (tmp_path / "seq" / "seqinfo.ini").write_text(ini)
    run("detect", folder, "-q", "--min-score", 0.1, "--jsonl", found)
    assert lines(found)[3]["time_s"] == 3
    run("track", folder, "-q", "--jsonl", out, "--from", found, "--start", 0.5, "--end", 1)
    assert [(row["frame"], row["time_s"]) for row in lines(out)] == [(n, n / 20) for n in range(10, 20)]
    run("follow", folder, "-q", "--jsonl", out, "--box", "4,10,20,30")
    assert lines(out)[1]["time_s"] == 0.05
    for rate in (0, -1):
        result = CliRunner().invoke(app, ["track", str(folder), "-q", "--jsonl", "-", "--rate", str(rate)])
        assert (result.exit_code, "more than 0 frames a second" in result.output) == (2, True)


def test_several_videos_in_one_source_are_tracked_each_by_itself(clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    (tmp_path / "list.txt").write_text(f"{clip}\n{other}\n")
    out, named = tmp_path / "out.jsonl", tmp_path / "named.jsonl"
    run("track", tmp_path / "list.txt", "-q", "--jsonl", out)
    run("track", clip, other, "-q", "--jsonl", named)
    assert out.read_bytes() == named.read_bytes()
    ids = [[o["id"] for o in t] for t in tracks(out)]
    assert ids[:40] == ids[40:]


def test_totals_are_told_at_the_end_of_an_interrupted_run(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is how one ends a camera's run. The rows that were counted are in the file."""
    monkeypatch.setattr("vision.io.source.Source.__next__", interrupted(at=35))
    table = tmp_path / "events.csv"
    result = CliRunner().invoke(app, ["count", str(clip), "--jsonl", str(tmp_path / "out.jsonl"), "--line",
                                      "80,96,80,0", "--events", str(table)])
    assert result.exit_code == 130
    assert "line 1: right 1, left 1" in result.output
    assert len(table.read_text().splitlines()) == 3


def interrupted(at: int) -> Callable[..., object]:
    """A source in which the user presses Ctrl-C at a frame."""
    whole = Source.__next__

    def step(source: Source) -> Frame:
        frame = whole(source)
        if frame.index == at:
            raise KeyboardInterrupt
        return frame

    return step


@pytest.mark.parametrize("arguments", [
    ["count", "--line", "80,96,80,0", "--heatmap", "no/such/folder/heat.png"],
    ["follow", "--box", "4,10,20,30", "--follower", "ivt", "--show-basis", "no/such/folder/basis.png"],
    ["follow", "other.mp4", "--box", "4,10,20,30", "--follower", "ivt", "--show-basis", "basis.png"],
])
def test_a_picture_that_cannot_be_made_is_told_before_the_run(
    clip: Path, tmp_path: Path, arguments: list[str]
) -> None:
    out = tmp_path / "out.mp4"
    result = CliRunner().invoke(app, [arguments[0], str(clip), "-q", "-o", str(out), *arguments[1:]])
    assert isinstance(result.exception, VisionError)
    assert any(text in str(result.exception) for text in ("its folder is not there", "of one video"))
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("arguments", [
    ["track", "--mot", "{x}", "--jsonl", "{x}"],
    ["count", "--events", "{x}", "--jsonl", "{x}"],
    ["count", "--events", "-", "--jsonl", "-"],
    ["count", "--events", "{x}", "--coco", "{x}"],
    ["count", "--heatmap", "{x}.png", "--sheet", "{x}.png"],
    ["follow", "--follower", "ivt", "--box", "4,10,20,30", "--show-basis", "{x}.png", "-o", "{x}.png"],
])
def test_two_outputs_of_one_name_are_told_before_the_run(
    clip: Path, tmp_path: Path, arguments: list[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    line = ["--line", "80,96,80,0"] if arguments[0] == "count" else []
    given = [text.format(x=tmp_path / "x") for text in arguments[1:]]
    result = CliRunner().invoke(app, [arguments[0], str(clip), "-q", *line, *given])
    assert isinstance(result.exception, UsageError)
    assert "is given for two outputs" in str(result.exception)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("arguments", [
    ["track", "--mot"], ["count", "--line", "80,96,80,0", "--events"],
])
def test_an_output_in_place_of_the_input_is_told_before_the_run(clip: Path, arguments: list[str]) -> None:
    before = clip.read_bytes()
    result = CliRunner().invoke(app, [arguments[0], str(clip), "-q", *arguments[1:], str(clip)])
    assert (isinstance(result.exception, SinkError), clip.read_bytes()) == (True, before)
    assert "would overwrite the input" in str(result.exception)


def test_events_go_to_standard_output_and_the_summary_names_what_was_written(
    clip: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["count", str(clip), "-q", "--line", "80,96,80,0", "--events", "-",
                                      "--jsonl", str(tmp_path / "o.jsonl")])
    assert result.exit_code == 0
    assert sorted(json.loads(row)["side"] for row in result.stdout.splitlines()) == ["left", "right"]
    mot, report = tmp_path / "o.txt", tmp_path / "r.json"
    run("track", clip, "-q", "--mot", mot, "--jsonl", tmp_path / "o.jsonl", "--report", report)
    assert str(mot) in json.loads(report.read_text())[0]["outputs"]


@pytest.mark.parametrize("classes", ["", "bright,", "brigth"])
@pytest.mark.parametrize("command", ["detect", "track"])
def test_a_class_without_a_name_is_told_as_an_unknown_one_is(clip: Path, command: str, classes: str) -> None:
    result = CliRunner().invoke(app, [command, str(clip), "-q", "--jsonl", "-", "--classes", classes])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"has no class {classes.removeprefix('bright,')!r}. " in result.stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (["track", "--tracker", "deepest"], "'sort'"),
    (["track", "--from", "gone.jsonl"], "gone.jsonl"),
    (["track", "--mot", "no/such/folder/out.txt"], "No such file"),
    (["count", "--line", "80,96,80,0", "--events", "no/such/folder/out.csv"], "No such file"),
    (["count"], "nothing to count at"),
    (["count", "--line", "1,2,3"], "--line is its two ends"),
    (["count", "--line", "5,5,5,5"], "two points that differ"),
    (["follow", "--box", "1,2,3"], "--box is x,y,w,h in pixels, or two corners"),
    (["follow", "--box", "1,2,3,3"], "8x8 pixels inside"),
    (["follow", "--follower", "csrt", "--box", "1,2,30,30"], "'ivt'"),
])
def test_impossible_options_are_told(clip: Path, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, [arguments[0], str(clip), "-q", "--jsonl", "-", *arguments[1:]])
    assert result.exit_code != 0
    assert message in result.output + str(result.exception)


def test_records_of_a_longer_video_end_the_run_with_an_error(clip: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.jsonl"
    run("track", clip, "-q", "--jsonl", found)
    rows = lines(found)
    rows.append(rows[-1] | {"frame": 40, "time_s": 4.0})
    found.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = CliRunner().invoke(app, ["track", str(clip), "-q", "--jsonl", str(tmp_path / "y.jsonl"),
                                      "--from", str(found)])
    assert result.exit_code == 1
    assert "goes to frame 40, the video ends with 39" in result.output
