"""Galleries: people by folder, small files, pass phrases; names on pictures and over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from record_schema import check_record

from vision import FindFaces, Identify, Run, read
from vision.errors import DataError, MissingExtra, UsageError
from vision.io import Info
from vision.people.enrol import enrol
from vision.people.gallery import Gallery, encrypted
from vision.people.identity import LAYOUTS, FaceEmbedder
from vision.people.landmarks import FaceLandmarker
from vision.people.votes import Votes
from vision.steps.base import Pool
from vision.types import Frame, Image


def made(count: int = 3, length: int = 8, seed: int = 0) -> Gallery:
    gallery, draw = Gallery("net"), np.random.default_rng(seed)
    for i in range(count):
        gallery.add(f"person {i}", draw.normal(size=(i + 1, length)).astype(np.float32))
    return gallery


@pytest.mark.parametrize("phrase", ["", "open, Sesame"])
def test_a_file_has_names_and_vectors_alone(tmp_path: Path, phrase: str) -> None:
    if phrase:
        pytest.importorskip("cryptography", reason="the extra 'gallery'")
    path, gallery = tmp_path / "g.faces", made()
    gallery.save(path, phrase)
    assert encrypted(path) == bool(phrase)
    assert path.stat().st_size < 6 * 8 * 4 + 600
    again = Gallery.load(path, phrase)
    assert again.names == ("person 0", "person 1", "person 2")
    assert again.model == "net"
    assert all((again.people[name] == vectors).all() for name, vectors in gallery.people.items())
    assert (b"person 0" in path.read_bytes()) == (not phrase)


def test_an_empty_gallery(tmp_path: Path) -> None:
    Gallery("net").save(tmp_path / "g.faces")
    again = Gallery.load(tmp_path / "g.faces")
    assert len(again) == 0
    assert again.nearest(np.zeros((2, 8), np.float32)).people.tolist() == [-1, -1]


def test_a_wrong_pass_phrase_and_a_changed_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography", reason="the extra 'gallery'")
    path = tmp_path / "g.faces"
    made().save(path, "right")
    monkeypatch.delenv("VISION_PASSPHRASE", raising=False)
    with pytest.raises(DataError, match="VISION_PASSPHRASE"):
        Gallery.load(path)
    with pytest.raises(DataError, match="cannot be decrypted"):
        Gallery.load(path, "wrong")
    monkeypatch.setenv("VISION_PASSPHRASE", "right")
    assert len(Gallery.load(path)) == 3
    data = bytearray(path.read_bytes())
    for at in (30, 50, len(data) - 1):
        path.write_bytes(bytes([*data[:at], data[at] ^ 1, *data[at + 1 :]]))
        with pytest.raises(DataError, match="cannot be decrypted"):
            Gallery.load(path)
    path.write_bytes(data[:40])
    with pytest.raises(DataError, match="cannot be decrypted"):
        Gallery.load(path)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingExtra, match=r"\[gallery\]"):
        made().save(tmp_path / "g.faces", "phrase")


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff" * 100, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_other_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "g.faces").write_bytes(data)
    with pytest.raises(DataError, match="is no gallery"):
        Gallery.load(tmp_path / "g.faces")
    with pytest.raises(DataError, match="cannot be read"):
        Gallery.load(tmp_path / "none.faces")


def test_two_people_of_one_name() -> None:
    gallery = made()
    for name in ("person 1", "Person 1", " PERSON 1 ", "\uff50erson 1"):
        with pytest.raises(DataError, match="two people of one name: 'person 1'"):
            gallery.add(name, np.ones((1, 8)))
    with pytest.raises(DataError, match="'Unknown' is what strangers are called"):
        gallery.add("Unknown", np.ones((1, 8)))
    with pytest.raises(DataError, match=r"the name 'Jos\\udce9' is not UTF-8"):
        gallery.add("Jos\udce9", np.ones((1, 8)))
    with pytest.raises(UsageError, match="a person has a name"):
        gallery.add(" ", np.ones((1, 8)))
    with pytest.raises(UsageError, match=r"\(M,8\)"):
        gallery.add("Ann", np.ones((1, 9)))
    with pytest.raises(UsageError, match="finite"):
        gallery.add("Ann", np.full((1, 8), np.nan))


def test_the_nearest_is_by_the_mean_of_pictures() -> None:
    gallery = Gallery("net")
    gallery.add("Ann", np.float32([[0, 0], [0, 2]]))
    gallery.add("Bob", np.float32([[4, 0]]))
    who, apart = gallery.nearest(np.float32([[0, 1], [3, 0], [1, 1]]))
    assert who.tolist() == [0, 1, 0]
    assert apart.tolist() == pytest.approx([0, 1, 1])


def test_votes() -> None:
    gallery = Gallery("net")
    gallery.add("Ann", np.float32([[0, 0]]))
    gallery.add("Bob", np.float32([[1, 0]]))
    votes = Votes()
    told = [votes.take(np.float32([0.1, 0]), i * 0.2, gallery, 0.46) for i in range(3)]
    assert [one.person for one in told] == [-1, -1, 0]                   # three looks before a name
    assert votes.due(0.7)
    assert not votes.due(0.5)
    stranger = Votes()
    assert [stranger.take(np.float32([0.5, 0.6]), i * 0.2, gallery, 0.46).person for i in range(12)] == [-1] * 12
    torn = Votes()                                                       # the mean is near to Ann, few looks are
    looks = [[-2.2, 0], [0.9, 0], [0.9, 0], [0.9, 0]]
    assert [torn.take(np.float32(one), i * 0.2, gallery, 0.46).person for i, one in enumerate(looks)][-1] == -1
    again = Votes()
    again.restore(votes.state())
    assert again.said == votes.said
    assert again.take(np.float32([0.2, 0]), 1.0, gallery, 0.46) == votes.take(np.float32([0.2, 0]), 1.0, gallery, 0.46)


@pytest.fixture(scope="session")
def embedder() -> FaceEmbedder:
    return FaceEmbedder.load(precision="fp32")


@pytest.fixture
def people(tmp_path: Path, zidane: Image) -> Path:
    """Two people with two pictures each, of one photograph."""
    for name, part in (("Carlo", zidane[0:480, 740:1220]), ("Zinedine", zidane[150:620, 380:850])):
        (tmp_path / "people" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "people" / name / "1.png"), part)
        cv2.imwrite(str(tmp_path / "people" / name / "2.png"), (part * 0.8).astype(np.uint8)[:, ::-1])
    return tmp_path / "people"


def test_a_folder_of_people(
    people: Path, landmarker: FaceLandmarker, embedder: FaceEmbedder, zidane: Image
) -> None:
    told: list[str] = []
    gallery = enrol(people, landmarker, embedder, told=told.append)
    assert {name: len(vectors) for name, vectors in gallery.people.items()} == {"Carlo": 2, "Zinedine": 2}
    assert told == []
    cv2.imwrite(str(people.parent / "both.png"), zidane)
    plan = [FindFaces(model=landmarker), Identify(gallery=people, model=embedder)]
    (item,) = Run(read(people.parent / "both.png"), plan)
    found, names = item["identify"], item.names("identify")
    order = np.argsort(found.boxes[:, 0])
    assert [names[i] for i in found.labels[order]] == ["Zinedine", "Carlo"]
    assert (found.distances < 0.3).all()
    assert (found.scores > 0.9).all()
    check_record(item.record)


def test_a_stranger_has_no_name(
    people: Path, landmarker: FaceLandmarker, embedder: FaceEmbedder, ancelotti: Image, tmp_path: Path
) -> None:
    (people / "Carlo/1.png").unlink()
    (people / "Carlo/2.png").unlink()
    (people / "Carlo").rmdir()
    gallery = enrol(people, landmarker, embedder)
    gallery.save(tmp_path / "one.faces")
    how = {"gallery": tmp_path / "one.faces", "model": embedder}
    frames = [Frame(ancelotti, i, i / 10, "film") for i in range(8)]
    items = list(Run(frames, [FindFaces(model=landmarker), Identify(**how)]))
    assert [item["identify"].labels.tolist() for item in items] == [[0]] * 8
    assert items[-1]["identify"].distances[0] > 0.46
    far = list(Run(frames, [FindFaces(model=landmarker), Identify(max_distance=2.0, **how)]))
    assert [item["identify"].labels.tolist() for item in far] == [[0]] * 4 + [[1]] * 4        # after three looks
    assert [item["identify"].scores[0] > 0.5 for item in far] == [False] * 4 + [True] * 4
    assert {item["identify"].scores[0] for item in far[:4]} == {0}       # near enough, and not decided yet
    live = list(Run(frames, [FindFaces(model=landmarker), Identify(max_distance=2.0, liveness=True, **how)]))
    assert live[-1]["identify"].labels.tolist() == [0]                    # nobody blinked
    assert live[-1]["identify"].scores.tolist() == [0]
    assert live[-1].record["identify"]["objects"][0]["live"] == "unsure"


def test_pictures_that_cannot_be_used(
    people: Path, landmarker: FaceLandmarker, embedder: FaceEmbedder, zidane: Image
) -> None:
    cv2.imwrite(str(people / "Carlo/3.png"), np.full((200, 200, 3), 90, np.uint8))
    cv2.imwrite(str(people / "Carlo/4.png"), zidane)
    (people / "Carlo/5.png").write_bytes(b"no picture")
    told: list[str] = []
    assert len(enrol(people, landmarker, embedder, told=told.append).people["Carlo"]) == 2
    assert [line.split(": ", 2)[2].split(" (")[0] for line in told] == [
        "no face was found", "2 faces: cut the picture to one", "it cannot be read"]
    (people / "Nobody").mkdir()
    with pytest.raises(DataError, match="the folder of 'Nobody' has no pictures"):
        enrol(people, landmarker, embedder)
    cv2.imwrite(str(people / "Nobody/1.png"), np.full((200, 200, 3), 90, np.uint8))
    with pytest.raises(DataError, match=r"no picture of 'Nobody' can be used \(.*no face was found"):
        enrol(people, landmarker, embedder)


def test_folders_of_nobody(tmp_path: Path, people: Path, landmarker: FaceLandmarker, embedder: FaceEmbedder) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no people"):
        enrol(tmp_path / "empty", landmarker, embedder)
    with pytest.raises(DataError, match="there is no folder"):
        enrol(tmp_path / "none", landmarker, embedder)
    (people / "carlo").mkdir()
    (people / "carlo/1.png").write_bytes((people / "Zinedine/1.png").read_bytes())
    with pytest.raises(DataError, match="two people of one name: 'Carlo' and 'carlo'"):
        enrol(people, landmarker, embedder)


def test_a_folder_whose_name_is_no_text_is_refused_before_pictures_are_looked_at(
    people: Path, embedder: FaceEmbedder
) -> None:
    (people / "Jos\udce9").mkdir()
    finder: Any = SimpleNamespace(in_flight=1)                            # looks at nothing
    with pytest.raises(DataError, match=r"the name 'Jos\\udce9' is not UTF-8"):
        enrol(people, finder, embedder)


def test_somebody_elses_picture_is_asked_about() -> None:
    gallery = Gallery("net")
    gallery.add("Ann", np.float32([[0, 0], [0.1, 0], [0, 0.1], [2, 0]]))
    ((name, number, apart),) = gallery.odd(LAYOUTS["dlib"])
    assert (name, number) == ("Ann", 3)
    assert apart == pytest.approx(2.0, abs=0.01)


def test_nobody_to_compare_with(
    landmarker: FaceLandmarker, embedder: FaceEmbedder, tmp_path: Path, zidane: Image
) -> None:
    with pytest.raises(UsageError, match="--gallery"):
        Run([Frame(zidane, 0, 0.0)], [FindFaces(model=landmarker), Identify()]).finish()
    made().save(tmp_path / "other.faces")
    with pytest.raises(DataError, match="was made with 'net'"):
        Run([Frame(zidane, 0, 0.0)], [FindFaces(model=landmarker), Identify(gallery=tmp_path / "other.faces",
                                                                            model=embedder)]).finish()


def test_names_go_on_from_a_state(
    people: Path, landmarker: FaceLandmarker, embedder: FaceEmbedder, zidane: Image,
    through_json: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    spec = Identify(gallery=people, model=embedder, liveness=True)
    with Pool() as pool:
        loaded = spec.load(pool)
        faces = landmarker(zidane)
        faces = replace(faces, ids=np.array([1, 2]))
        whole, first, second = (spec.open(Info("film", "video"), loaded) for _ in range(3))
        frames = [Frame(zidane, i, i / 10) for i in range(8)]
        wanted = [whole.begin(frame, {"faces": faces})() for frame in frames]
        for frame in frames[:4]:
            first.begin(frame, {"faces": faces})()
        second.restore(through_json(first.state()))
        again = [second.begin(frame, {"faces": faces})() for frame in frames[4:]]
        assert [one.to_dict() for one in again] == [one.to_dict() for one in wanted[4:]]
        for step in (whole, first, second):
            step.end()


@pytest.fixture
def named(people: Path, landmarker: FaceLandmarker, embedder: FaceEmbedder, ancelotti: Image) -> Any:
    """A function that opens a step for a video, and the faces of a picture of somebody whom it knows, with an id."""
    spec = Identify(gallery=people, model=embedder)
    with Pool() as pool:
        loaded = spec.load(pool)
    faces = replace(landmarker(ancelotti), ids=np.array([1]))
    return lambda: spec.open(Info("film", "video"), loaded), faces


def test_a_name_outlives_a_frame_without_the_face(
    named: Any, ancelotti: Image, through_json: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Whose face was turned away for ten seconds, and missed for one frame, is who it was."""
    opened, faces = named
    step, turned = opened(), replace(faces, angles=np.float32([[80, 0, 0]]))
    labels = [step.begin(Frame(ancelotti, i, i * 0.2), {"faces": faces})().labels.tolist() for i in range(4)]
    assert labels == [[0], [0], [1], [1]]
    for i in range(4, 70):
        assert step.begin(Frame(ancelotti, i, i * 0.2), {"faces": turned})().labels.tolist() == [1]
    again = opened()
    again.restore(through_json(step.state()))
    for one in (step, again):
        one.begin(Frame(ancelotti, 70, 14.0), {"faces": faces[:0]})()
        assert one.begin(Frame(ancelotti, 71, 14.2), {"faces": turned})().labels.tolist() == [1]
        assert one.begin(Frame(ancelotti, 72, 30.0), {"faces": faces[:0]})().labels.tolist() == []
        assert one.begin(Frame(ancelotti, 73, 30.2), {"faces": turned})().labels.tolist() == [0]      # too long ago
        one.end()
        assert one.notes == ()


def test_a_note_says_that_frames_are_too_far_apart_for_names(
    named: Any, ancelotti: Image, through_json: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    opened, faces = named
    for apart, noted in ((1.25, True), (0.9, False)):
        step = opened()
        for i in range(4):
            if i == 2:
                before, step = step, opened()
                before.end()
                step.restore(through_json(before.state()))
            found = step.begin(Frame(ancelotti, i, i * apart), {"faces": replace(faces, ids=np.array([i + 1]))})()
            assert found.labels.tolist() == [0]
        step.end()
        assert [note.split(": ")[0] for note in step.notes] == ["nobody was named"] * noted
        assert all("1.25 s apart or more" in note for note in step.notes)
