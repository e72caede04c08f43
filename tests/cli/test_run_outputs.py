"""Outputs of a run that cannot be, or would be lost: told before the run, and none in place of another."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vision import Bag, CocoResults, Detect, Detections, Frame, Item, Mcap, Run, Spec, Step, zoo
from vision.card import Input
from vision.cli import main
from vision.engine import FakeEngine
from vision.errors import SinkError
from vision.files import check_writable, write_whole
from vision.io import Info, Inputs, read
from vision.sinks import YoloText
from vision.sinks.film import VideoWriter
from vision.sinks.sheet import Sheet
from vision.sinks.show import check_display
from vision.spec import spec
from vision.steps import ModelStep, Ready
from vision.tasks.action import Recognizer
from vision.tasks.detect import Detector
from vision.tasks.segment import Segmenter


def _a_person(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    scores = np.zeros((1, 20), np.float32)
    scores[0, 14] = 0.9
    return np.stack([np.array([[10, 10, 40, 60]], np.float32)] * len(batch)), np.stack([scores] * len(batch))


@pytest.fixture(autouse=True)
def _fake_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = replace(zoo.find("default", "detect"), input=Input((640, 640), "letterbox"))
    monkeypatch.setattr(Detector, "load", lambda *args: Detector(FakeEngine(_a_person), card))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def twins() -> list[str]:
    """Two clips of one name in two folders, of 4 and 3 frames, and two pictures likewise."""
    for folder, frames in (("a", 4), ("b", 3)):
        Path(folder).mkdir()
        with VideoWriter(f"{folder}/clip.mp4") as out:
            for i in range(frames):
                out.write(np.full((64, 96, 3), i * 40, np.uint8), i / 10)
        cv2.imwrite(f"{folder}/still.jpg", np.full((50, 80, 3), 90, np.uint8))
    return ["a/clip.mp4", "b/clip.mp4", "a/still.jpg", "b/still.jpg"]


def vision_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """The exit code of `vision ARGUMENTS`, run in this process."""
    monkeypatch.setattr(sys, "argv", ["vision", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def names(folder: str) -> list[str]:
    """The files in a folder."""
    return sorted(os.listdir(folder))


def test_sources_of_one_name_do_not_overwrite_each_other(
    twins: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vision_cli(monkeypatch, "detect", *twins, "-o", "out", "-q") == 0
    assert names("out") == [
        "clip-2-detect.mp4", "clip-detect.mp4", "still-2-detect.png", "still-detect.png",
    ]                                                                               # fmt: skip
    lengths = [sum(1 for _ in read(f"out/{name}")) for name in ("clip-detect.mp4", "clip-2-detect.mp4")]
    assert lengths == [4, 3]
    code = vision_cli(monkeypatch, "detect", *twins, "--save-frames", "frames", "--yolo", "labels", "-q",
                      "--sheet", "sheet.png", "--report", "r.json")
    assert code == 0
    stems = [*(f"clip-{i:06d}" for i in range(4)), *(f"clip-2-{i:06d}" for i in range(3)), "still", "still-2"]
    assert names("frames") == sorted(f"{stem}.png" for stem in stems)
    assert names("labels") == sorted(["data.yaml", *(f"{stem}.txt" for stem in stems)])
    assert cv2.imread("sheet.png").shape[:2] == (3 * 213, 4 * 320)       # nine pictures, of all sources
    assert [r["written"] for r in json.loads(Path("r.json").read_text())] == [4, 3, 1, 1]


def test_coco_takes_numbers_of_pictures_alone(twins: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    os.rename(twins[0], "123.mp4")
    os.rename(twins[2], "000045.jpg")
    for source, ids in (("123.mp4", [0, 1, 2, 3]), ("000045.jpg", [45])):
        assert vision_cli(monkeypatch, "detect", source, "--coco", "c.json", "-q") == 0
        assert [one["image_id"] for one in json.loads(Path("c.json").read_text())] == ids


def test_a_row_has_what_its_task_said_and_nothing_of_another(
    twins: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ('task = "detect"', 'task = "track"', 'task = "detect"\nkey = "id"')
    Path("plan.toml").write_text("".join(f"[[do]]\n{step}\n" for step in steps))
    assert vision_cli(monkeypatch, "run", twins[0], "--plan", "plan.toml", "--csv", "a.csv", "-q") == 0
    with open("a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["task"], row["id"]) for row in rows} == {("detect", ""), ("track", "1"), ("id", "")}


def test_a_step_may_be_called_like_an_output_or_an_option(twins: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ("csv", "going", "reading")
    Path("plan.toml").write_text("".join(f'[[do]]\ntask = "detect"\nkey = "{key}"\n' for key in keys))
    given = ["run", twins[2], "--plan", "plan.toml", "--csv", "a.csv", "--stride", "1", "-q"]
    assert vision_cli(monkeypatch, *given) == 0
    with open("a.csv", newline="") as file:
        assert [row["task"] for row in csv.DictReader(file)] == [*keys]


def test_an_option_of_a_task_is_not_for_another_that_is_called_so(
    twins: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    Path("plan.toml").write_text('[[do]]\ntask = "detect"\n[[do]]\ntask = "detect"\nkey = "track"\n')
    assert vision_cli(monkeypatch, "run", twins[0], "--plan", "plan.toml", "--track.lost-after", "2") == 2
    assert "--track.lost-after is an option of 'track', which is not in the plan." in capsys.readouterr().err


def test_a_display_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":97")
    monkeypatch.setattr("vision.sinks.show._PROBE", "import time; time.sleep(9)")
    monkeypatch.setattr("vision.sinks.show._ANSWER_S", 0.1)
    with pytest.raises(SinkError, match=r"the display does not answer within 0\.1 s\. Write a video instead\."):
        check_display()


def test_boxes_without_names_and_scores_are_written(tmp_path: Path) -> None:
    from vision.people.cover import Covered

    covered = Covered(*(np.zeros((1, *shape[1:]), kind) for kind, shape in Covered._layout.values()))
    object.__setattr__(covered, "boxes", np.array([[1, 2, 11, 22]], np.float32))

    class Cover(Step):
        names = ("face",)

        def begin(self, frame: Frame, sofar: Any) -> Any:
            return Ready(covered)

    @spec
    class Covering(Spec):
        """Faces that are covered."""

        task, result = "covering", Covered

        def open(self, info: Any, model: Any) -> Step:
            return Cover(self.key)

    frames = [Frame(np.zeros((48, 64, 3), np.uint8), i, i / 10, "made.mp4") for i in range(2)]
    sinks = [CocoResults("c.json"), YoloText("y", scores=True), Bag("b"), Mcap("m.mcap")]
    with Run(frames, [Covering()], sinks) as run:
        assert run.finish().written == 2
    assert [row["bbox"] for row in json.loads(Path("c.json").read_text())] == [[1, 2, 10, 20]] * 2
    assert Path("y/made-000001.txt").read_text().split()[0] == "0"


def test_a_film_of_a_part_says_that_it_has_no_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    with av.open("heard.mp4", "w") as out:
        film, sound = out.add_stream("libx264", rate=10), out.add_stream("aac", rate=48_000, layout="mono")
        film.width, film.height, film.pix_fmt = 96, 64, "yuv420p"
        for i in range(20):
            picture = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 10 * i, np.uint8), "bgr24")
            out.mux(film.encode(picture))
        for i in range(90):
            piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            piece.sample_rate, piece.pts = 48_000, 1024 * i
            out.mux(sound.encode(piece))
        out.mux(film.encode())
        out.mux(sound.encode())
    for more, silent in (([], False), (["--max-frames", "9"], True), (["--start", "1"], True)):
        assert vision_cli(monkeypatch, "detect", "heard.mp4", "-o", "o.mp4", "-q", "--report", "r.json", *more) == 0
        assert ("without the sound" in Path("r.json").read_text()) == silent
        with av.open("o.mp4") as film:
            assert bool(film.streams.audio) != silent


def test_each_picture_of_an_animation_has_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    pages = [Image.new("RGB", (80, 60), (50 * i, 0, 0)) for i in range(5)]
    pages[0].save("m.gif", save_all=True, append_images=pages[1:], duration=100)
    assert vision_cli(monkeypatch, "detect", "m.gif", "--save-frames", "f", "--yolo", "y", "-q") == 0
    assert names("f") == [*(f"m-{i:06d}.png" for i in range(1, 5)), "m.png"]
    assert len(names("y")) == 6                                   # and data.yaml


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--report", "a/clip.mp4"], "overwrite the input"),
        (["a/still.jpg", "--sheet", "a/still.jpg"], "overwrite the input"),
        (["--coco", "hard.mp4"], "overwrite the input"),
        (["--report", "nowhere/r.json"], "'nowhere/r.json' cannot be written"),
        (["--report", "b"], "'b' cannot be written (Is a directory)"),
        (["--sheet", "nowhere/s.png"], "'nowhere/s.png' cannot be written"),
        (["--sheet", "s.nonsense"], "Give a .png or .jpg"),
        (["--jsonl", "x", "--csv", "./x"], "two outputs"),
        (["--jsonl", "-", "--csv", "-"], "two outputs"),
        (["--coco", "-"], "standard output"),
        (["--report", "-"], "standard output"),
        (["-o", "-"], "standard output"),
        (["-o", "hard.mp4"], "overwrite the input"),
        (["-o", "x.avi"], "a film is written as .mp4, .m4v or .mov; got 'x.avi'. Give x.mp4, or a folder."),
        (["-o", "x.GIF"], "a picture is written as .bmp"),
        (["-o", "x.jsonl"], "Records are --jsonl FILE"),
        (["-o", "x.mcap", "--mcap.pictures", "drawn"], "an option of --mcap FILE, which was not given"),
        (["a/still.jpg", "-o", "film.mp4"], "sources need a folder"),
        (["a/still.jpg", "-o", "blocked"], "'blocked' cannot be made"),
    ],
)
def test_an_output_that_cannot_be_is_told_before_the_run(
    arguments: list[str], says: str, twins: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    os.link("a/clip.mp4", "hard.mp4")
    Path("blocked").touch()
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert vision_cli(monkeypatch, "detect", "a/clip.mp4", *arguments) in (1, 2)
    told = capsys.readouterr().err.splitlines()
    assert says in told[-1]
    assert "decoded" not in " ".join(told)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("report", "says"), [("nowhere/r.json", "cannot be written"), ("hard.mp4", "the input")])
def test_a_report_of_many_machines_that_cannot_be_is_told_before_the_run(
    report: str, says: str, twins: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    os.link("a/clip.mp4", "hard.mp4")
    arguments = ["a/clip.mp4", "--do", "detect", "--ray", "--results", "out", "--report", report]
    assert vision_cli(monkeypatch, "run", *arguments) in (1, 2)
    assert says in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--timeline", "nowhere/t.png"], "'nowhere/t.png' cannot be written"),
        (["--timeline", "a/clip.mp4"], "--timeline is a .png"),
        (["--segments", "nowhere/s.csv"], "'nowhere/s.csv' cannot be written"),
    ],
)
def test_what_an_action_run_writes_at_its_end_is_told_before(
    arguments: list[str], says: str, twins: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(Recognizer, "load", lambda *args: pytest.fail("a model was loaded"))
    cv2.imwrite("a/still.png", np.full((50, 80, 3), 90, np.uint8))
    before = names("a"), Path("a/still.png").read_bytes()
    assert vision_cli(monkeypatch, "action", "a/clip.mp4", *arguments) in (1, 2)
    assert says in capsys.readouterr().err
    assert (names("a"), Path("a/still.png").read_bytes()) == before
    assert not Path("s.csv").exists()


def test_index_maps_do_not_overwrite_the_pictures_they_are_of(
    twins: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    card = zoo.find("default", "segment")
    engine = FakeEngine(lambda batch: (np.zeros((len(batch), 448, 608), np.uint8),))
    monkeypatch.setattr(Segmenter, "load", lambda *args, **options: Segmenter(engine, card))
    cv2.imwrite("a/still.png", np.full((50, 80, 3), 90, np.uint8))
    before = Path("a/still.png").read_bytes()
    for option in ("--index", "--uncertainty"):
        assert vision_cli(monkeypatch, "segment", "a", option, "a", "--jsonl", "o.jsonl") == 1
        assert "overwrite the input" in capsys.readouterr().err
    assert Path("a/still.png").read_bytes() == before
    assert vision_cli(monkeypatch, "segment", "a/still.jpg", "b/still.jpg", "--index", "maps", "-q") == 0
    assert names("maps") == ["still-2.png", "still.png"]


def test_a_folder_with_a_dot_in_its_name_takes_the_outputs(
    twins: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("run.v2", "run.avi"):
        Path(name).mkdir()
        assert vision_cli(monkeypatch, "detect", "a/still.jpg", "-o", name, "-q") == 0
    assert vision_cli(monkeypatch, "detect", "a/clip.mp4", "b/still.jpg", "-o", "run.v2", "-q") == 0
    assert names("run.v2") == ["clip-detect.mp4", "still-detect.png"]


def test_default_names_are_ones_that_can_be_typed(twins: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert vision_cli(monkeypatch, "detect", "a/st*.jpg", "-q") == 0
    with open("a/still.jpg") as picture:
        monkeypatch.setattr(sys, "stdin", picture)
        assert vision_cli(monkeypatch, "detect", "-", "-q") == 0
    assert {"st-detect.png", "stream-detect"} <= set(names("."))


def test_a_range_with_nothing_in_it_is_told(
    twins: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert vision_cli(monkeypatch, "detect", "a/clip.mp4", "--start", "99", "--jsonl", "o.jsonl") == 0
    told = capsys.readouterr().err
    assert "4 decoded, 4 passed over, 0 inferred" in told
    assert "no frame in the range" in told


def test_a_reader_that_has_seen_enough_ends_the_run_and_its_film(tmp_path: Path) -> None:
    """A pipe that is closed after one line, as by `head -1`: exit 0, no error, a film that is whole."""
    code = (
        "import sys, numpy as np\n"
        "sys.path[:0] = sys.argv[2:]\n"
        "from test_run_outputs import _a_person, Detector, FakeEngine, Input, main, replace, zoo\n"
        "card = replace(zoo.find('default', 'detect'), input=Input((640, 640), 'letterbox'))\n"
        "Detector.load = lambda *args: Detector(FakeEngine(_a_person), card)\n"
        "sys.argv = ['vision', 'detect', sys.argv[1], '--jsonl', '-', '-o', 'o.mp4', '--report', 'r.json']\n"
        "main()\n"
    )
    with VideoWriter("long.mp4") as out:
        for i in range(500):
            out.write(np.full((64, 96, 3), i % 250, np.uint8), i / 10)
    command = [sys.executable, "-c", code, "long.mp4", str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["frame"] == 0
        process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read()
        assert process.wait(60) == 0, told
    assert "Error" not in told
    assert "Traceback" not in told
    report = json.loads(Path("r.json").read_text())[0]
    written = report["written"]
    assert report["dropped"] == {"the reader of an output has gone": report["decoded"] - written}
    assert written <= sum(1 for _ in read("o.mp4")) <= written + 1
    assert not Path("o.part.mp4").exists()


def test_an_unfinished_film_is_named_once(twins: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write = VideoWriter.write

    def full(film: VideoWriter, image: np.ndarray, time: float) -> None:
        if time > 0.15:
            raise SinkError("the disk is full")
        write(film, image, time)

    monkeypatch.setattr(VideoWriter, "write", full)
    code = vision_cli(monkeypatch, "detect", "a/clip.mp4", "-o", "o.mp4", "--jsonl", "o.jsonl",
                      "--report", "r.json")
    assert code == 1
    report = json.loads(Path("r.json").read_text())[0]
    assert report["outputs"] == ["o.part.mp4", "o.jsonl"]
    assert (report["written"], report["dropped"]) == (2, {"SinkError": 2})


def test_standard_output_that_is_closed_is_one_line(
    twins: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert vision_cli(monkeypatch, "detect", "a/clip.mp4", "--jsonl", "-") == 1
    assert "standard output is closed" in capsys.readouterr().err


def test_a_name_that_is_no_utf_8_is_kept_in_the_records(twins: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    os.rename("a/still.jpg", name)
    assert vision_cli(monkeypatch, "detect", name, "b/still.jpg", "--jsonl", "o.jsonl", "-q") == 0
    lines = Path("o.jsonl").read_text().splitlines()
    assert [json.loads(line)["source"] for line in lines] == [name, "b/still.jpg"]


def test_a_hard_link_to_the_input_is_the_input(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    os.link(tmp_path / "a.mp4", tmp_path / "b.mp4")
    with pytest.raises(SinkError, match="would overwrite"):
        Inputs([str(tmp_path / "a.mp4")]).refuse(tmp_path / "b.mp4")


def test_a_file_that_cannot_be_written_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "labels" / "clip-000001.txt"
    full = False
    write = Path.write_bytes

    def half(self: Path, data: bytes) -> int:
        if not full:
            return write(self, data)
        write(self, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    out = YoloText(old.parent).open([Detect()])
    out.begin(Info("clip.mp4", "video"))
    image = np.zeros((100, 100, 3), np.uint8)
    step = ModelStep("detect", Detector(FakeEngine(_a_person), zoo.find("default", "detect")), lambda images: list)
    first, second = (Item(Frame(image, i, 0.0, "clip.mp4"), {"detect": Detections.empty()}, [step]) for i in (1, 2))
    out.take(first)
    old.write_text("precious\n")
    full = True
    with pytest.raises(SinkError, match="No space left"):
        out.take(first)
    with pytest.raises(SinkError, match="No space left"):
        out.take(second)
    assert old.read_text() == "precious\n"
    assert names(str(old.parent)) == ["clip-000001.txt", "data.yaml"]         # an empty file would say: no objects


def test_a_protected_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, opened = tmp_path / "old.png", Path.open
    old.write_bytes(b"precious")

    def protected(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if path == old and mode != "r" and mode != "rb":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", protected)
    with pytest.raises(SinkError, match="Permission denied"):
        write_whole(old, b"new")
    assert old.read_bytes() == b"precious"
    assert names(str(tmp_path)) == ["old.png"]


@pytest.mark.parametrize("count", [1, 7, 12, 13, 25, 47, 48, 100, 795, 1009])
def test_the_tiles_of_a_sheet_are_the_same_number_of_frames_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    times: list[float] = []
    monkeypatch.setattr("vision.sinks.sheet.label", lambda _, text, *__: times.append(float(text.removesuffix(" s"))))
    sheet = Sheet(tmp_path / "s.png", width=8)
    for i in range(count):
        sheet.write(np.zeros((6, 8, 3), np.uint8), float(i))
    sheet.end({}, True)
    assert min(count, 7 if count > 12 else 99) <= len(times) <= 12
    assert times[0] == 0.0
    assert len(set(np.diff(times))) <= 1
    assert count - 1 - times[-1] <= 1.4 * (times[1] if len(times) > 1 else 1)        # up to the end, but for a step


def test_a_sheet_of_a_picture_as_narrow_as_a_thread_stays_small(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path / "s.png")
    sheet.write(np.full((20_000, 1, 3), 90, np.uint8), 0.0)
    sheet.write(np.full((1, 20_000, 3), 90, np.uint8), 1.0)
    sheet.end({}, True)
    assert cv2.imread(str(tmp_path / "s.png")).shape == (1280, 640, 3)


@pytest.mark.parametrize("arguments", [
    ["run", "a/clip.mp4", "--plan", "plan.toml", "--jsonl", "plan.toml"],
    ["run", "a/clip.mp4", "--plan", "plan.toml", "--report", "./plan.toml"],
    ["run", "a/clip.mp4", "--plan", "plan.toml", "--csv", "o.csv", "--report", "b/clip.mp4", "b/clip.mp4"],
    ["track", "a/clip.mp4", "--from", "records.jsonl", "--jsonl", "records.jsonl"],
    ["track", "a/clip.mp4", "--from", "records.jsonl", "--csv", "a/../records.jsonl"],
    ["track", "a/clip.mp4", "--from", "records.jsonl", "--jsonl", "o.jsonl", "--report", "records.jsonl"],
    ["detect", "a/clip.mp4", "--model", "mine.onnx", "--jsonl", "mine.onnx"],
    ["count", "a/clip.mp4", "--scene", "scene.toml", "--jsonl", "scene.toml"],
])
def test_nothing_that_a_run_reads_is_replaced(
    twins: list[str], arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("plan.toml").write_text('[[do]]\ntask = "detect"\n', encoding="utf-8")
    Path("scene.toml").write_text('[[line]]\nname = "door"\nstart = [0, 0]\nend = [50, 50]\n', encoding="utf-8")
    Path("mine.onnx").write_bytes(b"weights")
    assert vision_cli(monkeypatch, "detect", "a/clip.mp4", "-q", "--jsonl", "records.jsonl") == 0
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert vision_cli(monkeypatch, *arguments, "-q") != 0
    assert "would overwrite the input" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_report_by_another_spelling_of_an_output(
    twins: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["detect", "a/clip.mp4", "-q", "--jsonl", "o.jsonl", "--report", str(Path("a/../o.jsonl").absolute())]
    assert vision_cli(monkeypatch, *arguments) != 0
    assert "is given for two outputs" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_gets_every_row(twins: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        assert vision_cli(monkeypatch, "detect", "a/clip.mp4", "-q", "--jsonl", "pipe") == 0
        rows, _ = reader.communicate(timeout=20)
    assert [json.loads(line)["frame"] for line in rows.splitlines()] == [0, 1, 2, 3]
    assert not list(Path().glob("*.checkpoint"))


@pytest.mark.parametrize("more", [[], ["--max-frames", "1"]])
def test_several_pictures_need_a_folder(
    twins: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """Where one alone is read of them, it is the picture."""
    cv2.imwrite("a/other.jpg", np.full((40, 80, 3), 90, np.uint8))
    os.remove("a/clip.mp4")
    code = vision_cli(monkeypatch, "detect", "a", "-o", "out.png", "-q", *more)
    if more:
        assert (code, cv2.imread("out.png").shape) == (0, (40, 80, 3))
    else:
        assert code == 2
        assert "several pictures need a folder for -o; got 'out.png'" in capsys.readouterr().err
        assert not Path("out.png").exists()


def test_a_second_picture_on_standard_input_does_not_replace_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [cv2.imencode(".png", np.full((height, 80, 3), 90, np.uint8))[1].tobytes() for height in (40, 50)]
    for count, code in ((1, 0), (2, 2)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"".join(data[:count]))))
        assert vision_cli(monkeypatch, "detect", "-", "-o", "out.png", "-q") == code
        assert cv2.imread("out.png").shape == (40, 80, 3)
    assert "several pictures need a folder" in capsys.readouterr().err


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """To a file that is there, and to one that is not there yet."""
    there, missing = tmp_path / "there.png", tmp_path / "missing.png"
    there.write_bytes(b"old")
    for number, target in enumerate((there, missing)):
        link = tmp_path / f"link{number}.png"
        link.symlink_to(target)
        before = target.exists()
        check_writable(link)
        assert (link.is_symlink(), target.exists()) == (True, before)
        write_whole(link, b"new")
        assert (link.is_symlink(), target.read_bytes()) == (True, b"new")
