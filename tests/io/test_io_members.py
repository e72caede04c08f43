"""A source of several streams: each by itself, with its own account, and the others when one fails."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cv2
import pytest
from numbered import MakeVideo, number, numbered

from vision import Frame
from vision.errors import SourceError
from vision.io import Source, read
from vision.io.source import Member


@pytest.fixture
def folder(tmp_path: Path, make_video: MakeVideo) -> Path:
    """a.mkv of 2 frames, b.mp4 broken, c1.png, c2.png broken, c3.png, d.mp4 of 3 frames."""
    make_video("a.mkv", [0.0, 0.1])
    (tmp_path / "b.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(200))
    for i in (1, 3):
        cv2.imwrite(str(tmp_path / f"c{i}.png"), numbered(i))
    (tmp_path / "c2.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    make_video("d.mp4", [0.0, 0.1, 0.2])
    return tmp_path


def taken(source: Source) -> list[tuple[str, int, int]]:
    return [(Path(frame.source).name, frame.index, number(frame.image)) for frame in source]


def test_each_member_has_its_own_account(folder: Path) -> None:
    accounts, failed = [], []
    for member in read(folder).streams():
        try:
            with member() as source:
                frames = taken(source)
                accounts.append((Path(member.uri).name, source.info.kind, frames, source.counts.corrupt))
        except SourceError as error:
            failed.append((Path(member.uri).name, str(error)))
    assert accounts == [
        ("a.mkv", "video", [("a.mkv", 0, 0), ("a.mkv", 1, 1)], 0),
        (folder.name, "pictures", [("c1.png", 0, 1), ("c3.png", 2, 3)], 1),
        ("d.mp4", "video", [("d.mp4", i, i) for i in range(3)], 0),
    ]
    assert [name for name, _ in failed] == ["b.mp4"]
    assert "b.mp4" in failed[0][1]


def test_members_are_the_source_cut_into_streams(folder: Path) -> None:
    for options in ({}, {"stride": 2}, {"start": 0.1}, {"end": 0.15}, {"max_frames": 3}, {"max_frames": 4}):
        (folder / "b.mp4").unlink(missing_ok=True)
        one_by_one = [frame for member in read(folder, **options).streams() for frame in taken(member())]
        assert one_by_one == taken(read(folder, **options)), options


def test_no_member_is_opened_once_enough_frames_are_out(folder: Path) -> None:
    (folder / "b.mp4").unlink()
    source = read(folder, max_frames=2)
    assert len(source.members) == 3
    names = []
    for member in source.streams():
        names.append(Path(member.uri).name)
        list(member())
    assert names == ["a.mkv"]


def test_members_that_are_read_at_once_keep_to_the_bound(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        make_video(name, [n / 50 for n in range(10)])
    for most in (1, 5):
        source, both = read(tmp_path, realtime=True, max_frames=most), threading.Barrier(3)
        got: list[Frame] = []

        def take(member: Member, source: Source = source, both: threading.Barrier = both, got: Any = got) -> None:
            with member() as one:
                both.wait(5)
                got.extend(one)

        threads = [threading.Thread(target=take, args=(member,)) for member in source.members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(got), source.left) == (most, 0)


def test_what_a_source_did_not_hand_out_is_left_to_the_next(folder: Path) -> None:
    (folder / "b.mp4").unlink()
    source = read(folder, max_frames=9)
    left = [(len(taken(member())), source.left) for member in source.streams()]
    assert left == [(2, 7), (2, 5), (3, 2)]


def test_any_other_source_is_its_own_member(folder: Path) -> None:
    with read(folder / "d.mp4") as source:
        (member,) = source.members
        assert member() is source
        assert len(taken(member())) == 3
    with read(str(folder / "c*.png")) as source:
        assert [m() for m in source.members] == [source]


def test_lists_in_lists_come_down_to_their_files(folder: Path) -> None:
    (folder / "inner.txt").write_text("d.mp4\nhttp://127.0.0.1:9/none.mp4\n")
    (folder / "outer.txt").write_text("a.mkv\ninner.txt\nc*.png\nmissing.mp4\n")
    with read(folder / "outer.txt") as source:
        assert [member.uri.rpartition("/")[2] for member in source.members] == [
            "a.mkv", "d.mp4", "none.mp4", "outer.txt", "missing.mp4",
        ]                                                                           # fmt: skip


def test_a_list_is_read_once_however_often_it_is_named(folder: Path) -> None:
    for depth in range(25):
        (folder / f"l{depth}.txt").write_text(f"l{depth + 1}.txt\nl{depth + 1}.txt\n")
    (folder / "l25.txt").write_text("c1.png\n")
    with read(folder / "l0.txt") as source:
        assert taken(source) == [("c1.png", 0, 1)]
    assert len(source.notes) == 25
    assert "l1.txt' is listed more than once, and read once" in source.notes[-1]


def test_what_is_found_has_a_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for depth in range(40):
        (folder / f"l{depth}.txt").write_text(f"l{depth + 1}.txt\n")
    (folder / "l40.txt").write_text("c1.png\n")
    with pytest.raises(SourceError, match="in more than 32 lists"):
        read(folder / "l0.txt")
    assert taken(read(folder / "l9.txt")) == [("c1.png", 0, 1)]
    monkeypatch.setattr("vision.io.listing.MAX_FILES", 5)
    for uri in (folder, folder / "*.*"):
        with pytest.raises(SourceError, match="more than 5 files"):
            read(uri)
