"""Many files on many machines: what there is to do, where it is committed, and what a worker makes of it. No Ray."""

from __future__ import annotations

import hashlib
import json
import socket
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import av
import numpy as np
import pytest

from vision import JsonLines, Option, ReadText, Run, Scores, Spec, Step, __version__, read
from vision.cli.run.many import with_address
from vision.errors import SinkError, SourceError, UsageError
from vision.scale.cluster import cluster
from vision.scale.crew import Crew, Member
from vision.scale.job import TRIES, Job
from vision.scale.ranges import cuts, follows_on, part_name, ranges
from vision.scale.store import RECORDS, Store
from vision.scale.units import Cut, Done, Failed, Unit, units_of
from vision.scale.worker import Settings, Worker, opened
from vision.spec import spec
from vision.steps import TASKS, Ready, Task
from vision.types import Frame

pytest.importorskip("fsspec", reason="needs the extra 'ray'")


@spec
class Bright(Spec):
    """How bright a frame is."""

    task, result = "bright", Scores
    remembers: Annotated[bool, Option("whether it says that it does")] = False

    def open(self, info: Any, model: Any) -> Step:
        return BrightStep(self.key, self.remembers)


class BrightStep(Step):
    names = ("bright",)

    def __init__(self, key: str, remembers: bool) -> None:
        super().__init__(key)
        self.remembers = remembers

    def begin(self, frame: Frame, sofar: Any) -> Ready:
        return Ready(Scores([frame.image.mean() / 255]))


@pytest.fixture(autouse=True)
def bright(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "bright", Task(Bright))


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    """A memory:// of its own for each test."""
    import fsspec

    yield
    fsspec.filesystem("memory").store.clear()


def make_clip(path: Path, frames: int, gop: int = 10) -> Path:
    """A clip of 10 frames a second that grows brighter, with B-frames and a key frame every `gop` frames."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=10, options={"g": str(gop), "bf": "2", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            image = np.full((48, 64, 3), 20 + index % 200, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        out.mux(stream.encode())
    return path


def one_machine(source: str, path: Path) -> bytes:
    with Run(read(source), Bright(), [JsonLines(path)]) as run:
        run.finish()
    return path.read_bytes()


def worker(output: str, cut: float = 0.0, **options: Any) -> Worker:
    made = Worker(Settings((Bright(**options).to_dict(),), output, cut=cut))
    assert made.prepare(__version__) == ""
    return made


# -- what there is to do

def test_a_source_that_two_patterns_match_is_one_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "list.txt").write_text("b.mp4\nc.mp4\n")
    monkeypatch.chdir(tmp_path)
    units = units_of(["*.mp4", str(tmp_path / "a.mp4"), "./b.mp4", "list.txt", "."])
    assert [Path(unit.source).name for unit in units] == ["a.mp4", "b.mp4", "c.mp4"]
    assert len({unit.name for unit in units}) == 3


def test_two_files_of_one_name_have_two_names(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "clip.mp4").write_bytes(b"x")
    names = [unit.name for unit in units_of([str(tmp_path)])]
    assert len(set(names)) == 2
    assert all(name.startswith("clip-") for name in names)


def test_a_bag_is_called_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drives" / "one").mkdir(parents=True)
    for name in ("metadata.yaml", "one_0.mcap"):
        (tmp_path / "drives" / "one" / name).write_bytes(b"x")
    bag = "drives/one/metadata.yaml"
    for given in ("drives/one", "drives", bag):
        (unit,) = units_of([given])
        assert (unit.source, unit.uri) == (given, str(tmp_path / bag))
    assert len(units_of(["drives/one", "drives", bag])) == 1


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u8eca", "\U0001f697a"])
def test_a_long_name_leaves_room_for_what_is_added(tmp_path: Path, letter: str) -> None:
    """A file's name has 255 bytes, and a letter up to four."""
    stem = (letter * 80)[:80].encode()[:240].decode(errors="ignore")
    (tmp_path / f"{stem}.mp4").write_bytes(b"x")
    unit, = units_of([str(tmp_path)])
    name = part_name(replace(unit, part=3))
    (tmp_path / f"{name}.parquet.01234567.part").write_bytes(b"")
    assert len(name.encode()) <= 255 - len(".parquet.01234567.part")
    assert unit.name[0] in (letter[0], "a")


def test_what_is_opened_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture on a server is a member by itself, and parts two runs of pictures."""
    import cv2

    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    make_clip(tmp_path / "v.mp4", 2)
    (tmp_path / "list.txt").write_text("http://127.0.0.1:9/x.jpg\na.png\nv.mp4\nb.png\nc.png\n")
    address, *units = units_of([str(tmp_path / "list.txt")])
    assert address.uri == "http://127.0.0.1:9/x.jpg"
    found = [opened(unit, {}, tmp_path)[0] for unit in units]
    assert [[frame.source for frame in source] for source in found] == [
        [str(tmp_path / name) for name in names] for names in (["a.png"], ["v.mp4"] * 2, ["b.png", "c.png"])]
    monkeypatch.chdir(tmp_path)
    below = f"{tmp_path}/"
    assert units_of(["list.txt"])[1:] == [
        replace(unit, source=unit.source.removeprefix(below), below="" if unit.member is None else below)
        for unit in units]


def test_pictures_in_two_runs_are_refused(tmp_path: Path) -> None:
    import cv2

    for n in range(3):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.zeros((8, 8, 3), np.uint8))
    assert len(units_of([str(tmp_path), str(tmp_path / "*.png")])) == 1
    with pytest.raises(UsageError, match="matched twice"):
        units_of([str(tmp_path), str(tmp_path / "[01].png")])


@pytest.mark.parametrize("source", ["0", "-", "rtsp://camera/stream", "/dev/video0"])
def test_what_cannot_be_read_twice_is_refused(source: str) -> None:
    with pytest.raises(UsageError, match="without --ray"):
        units_of([source])


def test_ray_takes_an_address_and_leaves_a_source() -> None:
    assert with_address(["--ray", "videos/**"]) == ["--ray=local", "videos/**"]
    assert with_address(["a.mp4", "--ray"]) == ["a.mp4", "--ray=local"]
    for address in ("auto", "local", "head:6379", "10.0.0.1:6379", "ray://head:10001", "[::1]:6379"):
        assert with_address(["--ray", address, "a.mp4"]) == ["--ray", address, "a.mp4"]


def test_a_worker_in_another_folder_reads_and_writes_where_the_job_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And calls everything what it was called there, as a run on one machine does."""
    import cv2

    here, there = tmp_path / "here [1]", tmp_path / "there"
    for folder in (here / "pictures", there):
        folder.mkdir(parents=True)
    make_clip(here / "clip.mp4", 3)
    for n in range(4):
        cv2.imwrite(str(here / "pictures" / f"{n}.png"), np.full((8, 8, 3), 40 * n, np.uint8))
    (here / "some.txt").write_text(f"pictures/0.png\n{here / 'clip.mp4'}\n{here / 'pictures' / '3.png'}\n")
    (here / "lexicon.txt").write_text("word\n")
    monkeypatch.chdir(here)
    told = {"clip.mp4": ["clip.mp4"], (here / "clip.mp4").as_uri(): [(here / "clip.mp4").as_uri()],
            "pictures/[12].*": ["pictures/1.png", "pictures/2.png"],
            "some.txt": ["pictures/0.png", str(here / "clip.mp4"), str(here / "pictures" / "3.png")]}
    for number, (source, names) in enumerate(told.items()):
        monkeypatch.chdir(here)
        made = Job([Bright()], [source], f"out{number}")
        alone = one_machine(source, tmp_path / "alone.jsonl")
        monkeypatch.chdir(there)
        doing = Worker(made.settings)
        assert doing.prepare(__version__) == ""
        assert all(isinstance(doing.do(unit), Done) for unit in made.units)
        records = b"".join((here / f"out{number}" / RECORDS / f"{unit.name}.jsonl").read_bytes() for unit in made.units)
        assert list(dict.fromkeys(json.loads(line)["source"] for line in records.splitlines())) == names
        assert records == alone
    assert not list(there.iterdir())
    monkeypatch.chdir(here)
    plan = Job([ReadText(lexicon="lexicon.txt")], ["clip.mp4"], "out").settings.plan
    assert plan[0]["lexicon"] == str(here / "lexicon.txt")


# -- where it is committed

@pytest.mark.parametrize("kind", ["memory", "local"])
def test_records_are_there_when_their_note_is(kind: str, tmp_path: Path) -> None:
    store = Store("memory://results" if kind == "memory" else str(tmp_path / "out"))
    lines = tmp_path / "r.jsonl"
    lines.write_text("one\ntwo\n")
    store.commit(RECORDS, "a", lines, {"source": "a.mp4"})
    store._put(lines, f"{RECORDS}/killed.jsonl")         # between its records and its note
    assert store.committed() == {"a"}
    note = store.read(f"{RECORDS}/a.json")
    assert note is not None
    assert note["sha256"] == hashlib.sha256(b"one\ntwo\n").hexdigest()
    store.fetch(f"{RECORDS}/a.jsonl", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "one\ntwo\n"
    if kind == "local":
        assert not list((tmp_path / "out").rglob("*.part"))


def test_a_disk_that_is_full_leaves_the_older_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path / "out"))
    lines = tmp_path / "r.jsonl"
    lines.write_text("old\n")
    store.commit(RECORDS, "a", lines, {})
    lines.write_text("new and longer\n")

    def full(*paths: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.files, "put_file", full)
    with pytest.raises(SinkError, match="No space left on device"):
        store.commit(RECORDS, "a", lines, {})
    assert (tmp_path / "out" / RECORDS / "a.jsonl").read_text() == "old\n"


# -- what a worker makes of it

def test_a_video_from_a_store_into_a_store(tmp_path: Path) -> None:
    import fsspec

    clip = make_clip(tmp_path / "clip.mp4", 12)
    fsspec.filesystem("memory").pipe_file("/videos/clip.mp4", clip.read_bytes())
    (unit,) = units_of(["memory://videos/*.mp4"])
    made = worker("memory://results")
    done = made.do(unit)
    assert isinstance(done, Done), done
    assert (done.frames, done.first, done.last) == (12, 0, 11)
    made.store.fetch(f"{RECORDS}/{unit.name}.jsonl", tmp_path / "back")
    alone = one_machine(str(clip), tmp_path / "alone.jsonl").decode()
    assert (tmp_path / "back").read_text() == alone.replace(str(clip), "memory:///videos/clip.mp4")


def test_ranges_are_joined_to_what_one_run_gives(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 100)
    (unit,) = units_of([str(clip)])
    made = worker(str(tmp_path / "out"), cut=2.5)
    at = made.do(unit)
    assert at == Cut((2.0, 5.0, 7.0))                     # key frames at or before 2.5, 5 and 7.5 seconds
    parts = ranges(unit, at.at)
    done = [made.do(part) for part in parts]
    assert [(one.first, one.last) for one in done] == [(0, 19), (20, 49), (50, 69), (70, 99)]
    whole = made.join(unit, parts, done)
    assert whole.frames == 100
    records = (tmp_path / "out" / RECORDS / f"{unit.name}.jsonl").read_bytes()
    assert records == one_machine(str(clip), tmp_path / "alone.jsonl")
    assert not list((tmp_path / "out" / "parts").iterdir())
    assert made.join(unit, parts, done) == whole          # the one that joined it died before it said so


def test_a_store_that_cannot_delete_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 60)
    one = Job([Bright()], [str(clip)], str(tmp_path / "out"), cut=2.0)
    (unit,) = one.units
    made = worker(str(tmp_path / "out"), cut=2.0)
    parts = ranges(unit, (2.0,))
    done = [made.do(part) for part in parts]

    def refused(path: str, recursive: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    for store in (made.store, one.store):
        for name in ("rm", "rm_file"):
            monkeypatch.setattr(store.files, name, refused)
    assert made.join(unit, parts, done).frames == 60
    one._finish()
    assert one.progress.failed == {}
    with pytest.raises(SinkError, match=r"out/parts cannot be removed \(Permission denied\)"):
        one.store.remove("parts")


def test_a_worker_keeps_to_its_core_once_its_models_are_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` measures with all cores, as in a run by itself, and comes to the same."""
    order: list[str] = []
    monkeypatch.setattr("vision.steps.detect.Detect.load", lambda *_: order.append("loaded"))
    monkeypatch.setattr("vision.scale.worker.keep_to", lambda count: order.append(f"kept to {count}") or [])
    worker = Worker(Settings(({"task": "detect"},), str(tmp_path / "out")), cores=1)
    assert worker.prepare(__version__) == ""
    assert order == ["loaded", "kept to 1"]


def test_a_range_that_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 60)
    part = replace(units_of([str(clip)])[0], start=2.0, end=4.0, part=1)
    made = worker(str(tmp_path / "out"), cut=2.0)
    done = made.do(part)
    monkeypatch.setattr("vision.scale.worker.opened", None)
    assert made.do(part) == done


def test_ranges_that_do_not_follow_on_are_done_as_one(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 60)
    (unit,) = units_of([str(clip)])
    made = worker(str(tmp_path / "out"), cut=2.0)
    parts = [replace(unit, start=None, end=2.0, part=0), replace(unit, start=2.0, end=None, part=1)]
    done = [replace(made.do(part)) for part in parts]
    assert follows_on(done)
    assert not follows_on([done[0], replace(done[1], first=21)])
    assert made.join(unit, parts, [replace(done[0], corrupt=1), done[1]]).frames == 60
    records = (tmp_path / "out" / RECORDS / f"{unit.name}.jsonl").read_bytes()
    assert records == one_machine(str(clip), tmp_path / "alone.jsonl")


@pytest.mark.parametrize(("options", "reading"), [
    ({"remembers": True}, {}), ({"every": 2}, {}), ({}, {"stride": 2}), ({}, {"start": 1.0}),
])
def test_what_depends_on_other_frames_is_not_cut(
    options: dict[str, Any], reading: dict[str, Any], tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 60)
    made = worker(str(tmp_path / "out"), cut=1.0, **options)
    made.settings = replace(made.settings, reading=reading)
    assert isinstance(made.do(units_of([str(clip)])[0]), Done)
    assert cuts(str(clip), 6.0, 1.0) == (1.0, 2.0, 3.0, 4.0, 5.0)


def test_a_bad_file_is_an_outcome_and_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no video at all")
    outcome = worker(str(tmp_path / "out")).do(units_of([str(tmp_path / "bad.mp4")])[0])
    assert isinstance(outcome, Failed)
    assert not outcome.again
    assert "neither a picture nor a video" in outcome.why
    assert Store(str(tmp_path / "out")).committed() == set()


def test_parquet_has_what_json_lines_have(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra 'ray'")
    from vision.scale.columns import records

    clip = make_clip(tmp_path / "clip.mp4", 60)
    (unit,) = units_of([str(clip)])
    alone = [json.loads(line) for line in one_machine(str(clip), tmp_path / "alone.jsonl").splitlines()]
    for cut in (0.0, 2.0):
        made = Worker(Settings((Bright().to_dict(),), str(tmp_path / f"out{cut}"), cut=cut, format="parquet"))
        assert made.prepare(__version__) == ""
        done = made.do(unit)
        if isinstance(done, Cut):
            parts = ranges(unit, done.at)
            done = made.join(unit, parts, [made.do(part) for part in parts])
        assert done.frames == 60
        assert made.store.committed() == {unit.name}
        note = made.store.read(f"{RECORDS}/{unit.name}.json")
        assert note is not None
        assert note["records"] == f"{unit.name}.parquet"
        assert list(records(tmp_path / f"out{cut}" / RECORDS / note["records"])) == alone


def test_a_long_recording_of_several_cameras_is_done_whole(tmp_path: Path) -> None:
    mcap = pytest.importorskip("mcap.writer", reason="needs the extra 'robot'")
    import cv2

    data = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    with (tmp_path / "two.mcap").open("wb") as file:
        out = mcap.Writer(file)
        out.start()
        schema = out.register_schema("foxglove.CompressedImage", "jsonschema", b"{}")
        for name in ("/left", "/right"):
            camera = out.register_channel(name, "json", schema)
            for second in range(0, 4 if name == "/left" else 3):
                picture = {"timestamp": {"sec": second, "nsec": 0}, "frame_id": "", "format": "png",
                           "data": b64encode(data).decode()}
                out.add_message(camera, second * 10**9, json.dumps(picture).encode(), second * 10**9)
        out.finish()
    made = worker(str(tmp_path / "out"), cut=1.0)
    made.settings = replace(made.settings, reading={"topic": "/left"})
    done = made.do(units_of([str(tmp_path / "two.mcap")])[0])
    assert isinstance(done, Done), done
    assert done.frames == 4


@pytest.mark.parametrize(("nodes", "count", "each"), [
    ([4, 4], 1, 4), ([4, 4, 4, 4], 3, 4), ([2, 2, 2], 2, 2), ([8], 2, 4), ([4, 2], 3, 2), ([1, 1], 5, 1),
    ([3, 3], None, 1),
])
def test_a_worker_has_as_many_processors_as_a_machine_can_give(nodes: list[int], count: int | None, each: int) -> None:
    asked: list[int] = []

    def remote(kind: type) -> Any:
        hired = SimpleNamespace(remote=lambda *_: SimpleNamespace(prepare=SimpleNamespace(remote=lambda _: object())))
        return SimpleNamespace(options=lambda num_cpus, **_: asked.append(num_cpus) or hired)

    machines = [{"Alive": True, "Resources": {"CPU": float(n)}} for n in nodes]
    gone = {"Alive": False, "Resources": {"CPU": 64.0}}
    crew = Crew(SimpleNamespace(remote=remote, nodes=lambda: [*machines, gone],
                                cluster_resources=lambda: {"CPU": float(sum(nodes))}), Settings((), "out"), count)
    assert asked == [each]
    assert len(crew._coming) == (count or sum(nodes))


# -- what the driver makes of what comes back

def job(tmp_path: Path, count: int, **options: Any) -> Job:
    for n in range(count):
        (tmp_path / f"{n}.mp4").write_bytes(b"x")
    return Job([Bright()], [str(tmp_path / "*.mp4")], str(tmp_path / "out"), **options)


def test_retries_are_bounded_and_told(tmp_path: Path) -> None:
    one = job(tmp_path, 2)
    told = []
    while (given := one._next("here", {"here"})) is not None:
        unit, _ = given
        bad = unit.source.endswith("0.mp4")
        told.append(one._took(unit, None if bad else Done(1, 0, 0, 0, 0.1, 10), "its worker died" if bad else ""))
    assert [line.split("0.mp4: ")[-1] for line in told if line] == [
        "its worker died. Tried again (2 of 3).", "its worker died. Tried again (3 of 3).",
        f"its worker died; tried {TRIES} times"]
    assert one.progress.done == 1
    assert list(one.progress.failed.values()) == [f"its worker died; tried {TRIES} times"]


def test_what_a_dead_worker_had_not_begun_is_nobodys_fault(tmp_path: Path) -> None:
    one = job(tmp_path, 1)
    for _ in range(10):
        unit, _ = one._next("here", {"here"}) or pytest.fail("gone")
        assert one._took(unit, None, "") == ""
    assert not one.progress.failed


def test_a_unit_that_failed_on_a_machine_goes_to_another_one(tmp_path: Path) -> None:
    one = job(tmp_path, 2)
    first, second = one.units
    both = {"full", "well"}
    full = Failed("no space left on device", again=True)
    for unit in (first, second):
        assert one._next("full", both) == (unit, ("do", (unit,)))
        assert "Tried again (2 of 3)" in one._took(unit, full, "")
    assert one._next("full", both) is None
    assert one._next("well", both) == (first, ("do", (first,)))
    one._took(first, Done(1, 0, 0, 0, 0.1, 10), "")
    assert one._next("full", {"full"}) == (second, ("do", (second,)))        # the other one has gone
    one._took(second, None, "its worker died")
    assert one._next("well", both) == (second, ("do", (second,)))
    one._took(second, Done(1, 0, 0, 0, 0.1, 10), "")
    assert (one.progress.done, one.progress.failed, one._places) == (2, {}, {})


def test_a_worker_that_fails_again_and_again_rests() -> None:
    member = Member(None, "here")
    for outcome, rests in [(Failed("full", True), False), (Failed("full", True), False), (Failed("bad", False), False),
                           (Failed("full", True), False), (Failed("full", True), False), (Failed("full", True), True)]:
        member.took(outcome)
        assert member.rests is rests
    member._until = 0.0
    assert not member.rests


def test_outputs_that_exist_are_refused_or_resumed(tmp_path: Path) -> None:
    one = job(tmp_path, 3)
    one.store.write("job.json", one.settings.same())
    lines = tmp_path / "r.jsonl"
    lines.write_text("{}\n")
    one.store.commit(RECORDS, one.units[1].name, lines, {"source": one.units[1].source})
    with pytest.raises(UsageError, match="--resume"):
        job(tmp_path, 3)
    again = job(tmp_path, 3, resume=True)
    assert [unit.source for unit in again._todo] == [one.units[0].source, one.units[2].source]
    assert (again.progress.kept, again.progress.total) == (1, 3)
    note = tmp_path / "out" / RECORDS / f"{one.units[1].name}.json"
    whole = note.read_bytes()
    note.write_bytes(b"{")                               # as a machine that fell down may leave it
    assert len(job(tmp_path, 3, resume=True)._todo) == 3
    note.write_bytes(whole)
    with pytest.raises(UsageError, match="differs in cut"):
        job(tmp_path, 3, resume=True, cut=5.0)
    with pytest.raises(UsageError, match="differs in format"):
        job(tmp_path, 3, resume=True, format="parquet")
    with pytest.raises(UsageError, match="jsonl or parquet; got 'csv'"):
        job(tmp_path, 3, resume=True, format="csv")
    begun = tmp_path / "out" / RECORDS / "clip.jsonl.0123abcd.part"       # a worker was killed before it was whole
    begun.write_text("{}")
    again._finish()
    assert not begun.exists()
    assert note.read_bytes() == whole
    lines_of = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert ["failed" in one for one in lines_of] == [True, False, True]
    assert list(again.progress.failed.values()) == ["not done"] * 2


def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(UsageError, match="nobody answers at"), cluster(address):
            pass
    with pytest.raises(UsageError, match="no address of Ray"), cluster("head:port"):
        pass


def test_a_store_whose_package_is_missing_is_named() -> None:
    with pytest.raises(SinkError, match="nosuch"):
        Store("nosuch://bucket/results")
    with pytest.raises(SourceError, match="nothing matches"):
        units_of(["memory://nothing/*.mp4"])


def test_results_in_memory_that_no_worker_sees_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"0")
    for address in ("local", "head:6379"):
        with pytest.raises(UsageError, match="in this process's memory"):
            Job([Bright()], [str(tmp_path / "a.mp4")], "memory://results", address=address)


def test_units_are_plain_values() -> None:
    unit = Unit("a.mp4", "a.mp4", None, "a-1", start=1.5, part=2)
    assert str(unit) == "a.mp4 from 1.5 s"
