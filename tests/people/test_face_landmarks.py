"""Landmarks on photographs: where they are, what follows, and what comes of bad input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from record_schema import check_record

from vision.drawing import draw
from vision.engine import FakeEngine
from vision.errors import UsageError
from vision.people import mesh
from vision.people.face import Faces
from vision.people.face_detector import FaceDetector
from vision.people.landmarks import FaceLandmarker, crop_of_points
from vision.record import record
from vision.types import Frame, Image
from vision.zoo import CARDS

# seen on the enlarged photographs, once: eye corners, tip of the nose, corners of the mouth, chin
GOLDEN = {
    "zidane": {33: (951.3, 166.6), 133: (978.9, 169.9), 362: (1010.6, 173.2), 263: (1034.3, 175.2),
               1: (1001.4, 207.8), 61: (964.9, 232.1), 291: (1015.4, 235.7), 152: (986.2, 279.8),
               468: (964.0, 166.6), 473: (1016.6, 170.7)},
    "bus": {33: (127.8, 436.6), 133: (136.1, 437.3), 362: (145.7, 438.6), 263: (152.2, 439.3),
            1: (144.4, 447.1), 61: (133.7, 455.1), 291: (146.6, 456.6), 152: (140.1, 469.1)},
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden_landmarks(landmarker: FaceLandmarker, photos: dict[str, Path], name: str):
    """Both faces and no other; the points of one within 2 % of its width."""
    faces = landmarker(cv2.imread(str(photos[name])))
    assert len(faces) == 2
    assert (faces.scores > 0.5).all()
    golden = GOLDEN[name]
    where = np.array(list(golden.values()))
    face = min(faces, key=lambda f: float(np.abs(f.points[0, 1] - golden[1]).sum()))
    away = np.linalg.norm(face.points[0, list(golden)] - where, axis=1)
    assert away.max() < 0.02 * (face.boxes[0, 2] - face.boxes[0, 0])


def test_what_follows(landmarker: FaceLandmarker, ancelotti: Image):
    face = landmarker(ancelotti, camera=900)
    yaw, pitch, roll = face.angles[0]
    assert abs(yaw) < 15
    assert abs(pitch) < 15
    assert 0 < roll < 8                                        # the eye line falls to the right by 4 degrees
    assert face.mouth[0] < 0.1
    assert 0.3 < face.distance[0] < 1.2                        # an iris 15 pixels wide, at f = 900
    assert np.isfinite(face.gaze).all()
    assert np.isnan(landmarker(ancelotti).distance).all()


def test_an_open_mouth(landmarker: FaceLandmarker, zidane: Image):
    faces = landmarker(zidane)
    shouting = faces[int(np.argmin(faces.boxes[:, 0]))]
    assert shouting.mouth[0] > 0.15
    assert abs(shouting.angles[0, 0]) > 35                                # half turned away
    assert (shouting.eyes == 0).all()                                      # so the eyes cannot be judged


def test_a_batch_is_its_pictures(landmarker: FaceLandmarker, bus: Image, zidane: Image):
    empty = np.zeros((100, 100, 3), np.uint8)
    together = landmarker.submit([bus, empty, zidane])()
    assert [len(faces) for faces in together] == [2, 0, 2]
    assert np.allclose(together[2].points, landmarker(zidane).points, atol=0.05)
    assert landmarker.submit([])() == []


def test_several_threads_share_one(landmarker: FaceLandmarker, bus: Image, zidane: Image):
    alone = [landmarker(image).points for image in (bus, zidane)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: landmarker((bus, zidane)[i % 2]).points, range(8)))
    for i, points in enumerate(together):
        assert np.allclose(points, alone[i % 2], atol=0.05)


def test_the_record_fits_the_schema(landmarker: FaceLandmarker, ancelotti: Image):
    frame = Frame(ancelotti, 3, 0.12, "clip.mp4")
    for camera, how in ((None, "estimated"), (900, "given")):
        faces = landmarker(ancelotti, camera=camera)
        line = record(frame, {"faces": faces.to_dict(landmarker.names)})
        check_record(line)
        face = line["faces"]["objects"][0]
        assert face["label"] == "face"
        assert len(face["points"]) == 478
        assert face["eyes"]["left"]["state"] == "open"
        assert face["pose"]["camera"] == how
        assert ("distance_m" in face) == (camera is not None)
    empty = record(frame, {"faces": Faces.empty().to_dict(landmarker.names)})
    check_record(empty)
    assert empty["faces"]["objects"] == []


def test_drawing_touches_the_face_and_nothing_far_from_it(landmarker: FaceLandmarker, ancelotti: Image):
    faces = landmarker(ancelotti)
    changed = np.argwhere((draw(faces, ancelotti, landmarker.names) != ancelotti).any(axis=2))
    left, top, right, bottom = faces.boxes[0]
    inside = (changed[:, 1] > left - 5) & (changed[:, 1] < right + 5)
    inside &= (changed[:, 0] > top - 5) & (changed[:, 0] < bottom + 5)
    assert inside.sum() > 1000
    assert (changed[:, 0] < bottom + 5).all()
    assert np.array_equal(draw(Faces.empty(), ancelotti, ()), ancelotti)


def small_face(ancelotti: Image, width: int, x: int = 200, y: int = 100) -> Image:
    """The face, `width` pixels wide, on a grey picture of 640x480."""
    side = round(480 * width / 140)
    frame = np.full((480, 640, 3), 120, np.uint8)
    face = cv2.resize(ancelotti, (side, side), interpolation=cv2.INTER_AREA)
    frame[y : y + side, x : x + side] = face
    return frame


def test_no_face(landmarker: FaceLandmarker):
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    for image in (noise, np.zeros((480, 640, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)):
        assert len(landmarker(image)) == 0


def test_a_drawing_is_no_face(landmarker: FaceLandmarker):
    drawing = np.full((400, 400, 3), 255, np.uint8)
    cv2.circle(drawing, (200, 200), 120, (0, 0, 0), 3)
    for x in (155, 245):
        cv2.circle(drawing, (x, 170), 14, (0, 0, 0), cv2.FILLED)
    cv2.line(drawing, (200, 190), (200, 220), (0, 0, 0), 3)
    cv2.ellipse(drawing, (200, 240), (55, 30), 0, 10, 170, (0, 0, 0), 4)
    assert len(landmarker(drawing)) == 0


def test_half_a_face_at_the_border(landmarker: FaceLandmarker, zidane: Image):
    """Its points go on outside the picture; the half that cannot be seen has no eye state."""
    faces = landmarker(np.ascontiguousarray(zidane[:, 985:]))
    assert len(faces) == 1
    assert faces.boxes[0, 0] < 0
    assert faces.eyes[0].tolist() == [0, 1]
    assert np.linalg.norm(faces.points[0, 263] - [1034.6 - 985, 174.5]) < 6


def test_faces_from_24_pixels(landmarker: FaceLandmarker, ancelotti: Image):
    """Anywhere in the picture."""
    places = [(x, y) for x in (0, 130, 290, 400, 500) for y in (0, 180, 350)]
    found = landmarker.submit([small_face(ancelotti, 24, x, y) for x, y in places])()
    assert [len(faces) for faces in found] == [1] * 15
    widths = [faces.boxes[0, 2] - faces.boxes[0, 0] for faces in found]
    assert np.allclose(widths, 24, rtol=0.15)
    assert all((faces.eyes == 0).all() for faces in found)                 # too small for its eyes


@pytest.mark.realdata
def test_faces_of_24_pixels_of_many_people(landmarker: FaceLandmarker, data: Path):
    """Every fourth of the 279, shrunk until it is 24 pixels from side to side of the jaw, put anywhere."""
    rows = np.loadtxt(data / "faces" / "keypoints.csv", str, delimiter=",", skiprows=1)[::4]
    draw_from, found, others = np.random.default_rng(0), 0, 0
    for name, *values in rows:
        points = np.array(values, float).reshape(68, 2)
        face = cv2.imread(str(data / "faces" / "images" / name))
        scale = 24 / (points[16, 0] - points[0, 0])
        face = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = face.shape[:2]
        x, y = draw_from.integers(0, (640 - width, 480 - height))
        picture = np.full((480, 640, 3), 120, np.uint8)
        picture[y : y + height, x : x + width] = face
        boxes = landmarker.detector(picture).boxes
        away = (boxes[:, :2] + boxes[:, 2:]) / 2 - (points.mean(axis=0) * scale + (x, y))
        hit = bool((np.abs(away) < 12).all(axis=1).any())
        found, others = found + hit, others + len(boxes) - hit
    assert len(rows) == 70
    assert found >= 0.9 * len(rows)                                    # 66
    assert others <= 2


def test_a_face_of_16_pixels_needs_to_be_looked_for(landmarker: FaceLandmarker, ancelotti: Image):
    image = small_face(ancelotti, 16)
    assert len(landmarker(image)) == 0
    assert len(landmarker(image, min_face=12)) == 1


@pytest.mark.parametrize("degrees", [15, 30, 45, 60])
def test_a_tilted_face(landmarker: FaceLandmarker, ancelotti: Image, degrees: int):
    spin = cv2.getRotationMatrix2D((240, 200), degrees, 1.0)                # counter-clockwise
    faces = landmarker(cv2.warpAffine(ancelotti, spin, (480, 480)))
    assert len(faces) == 1
    upright = landmarker(ancelotti)
    assert faces.angles[0, 2] == pytest.approx(upright.angles[0, 2] - degrees, abs=3)
    expected = upright.points[0] @ spin[:, :2].T + spin[:, 2]
    assert np.linalg.norm(faces.points[0] - expected, axis=1).mean() < 0.03 * 140


def test_an_upside_down_picture(landmarker: FaceLandmarker, zidane: Image):
    """Nobody, unless asked to look at the picture turned."""
    image = np.ascontiguousarray(zidane[::-1, ::-1])
    assert len(landmarker(image)) == 0
    faces = landmarker(image, turned=True)
    assert len(faces) == 2
    face = faces[int(np.argmin(faces.boxes[:, 0]))]
    assert abs(face.angles[0, 2]) > 165
    assert np.linalg.norm(face.points[0, 33] - [1280 - 951.6, 720 - 166.9]) < 5


def test_two_overlapping_faces(landmarker: FaceLandmarker, ancelotti: Image):
    """A face half hidden by another: the one in front is right, and no face is told twice."""
    image = ancelotti.copy()
    image[90:300, 240:425] = ancelotti[90:300, 150:335]                     # 90 pixels to the right
    faces = landmarker(image)
    front = faces[int(np.argmax(faces.scores[:, 0]))]
    assert np.linalg.norm(front.points[0, 1] - [1002.2 - 740 + 90, 208.3]) < 8
    assert 1 <= len(faces) <= 2


@pytest.mark.realdata
def test_a_full_profile_is_left_out(landmarker: FaceLandmarker, data: Path):
    """The detector sees something, the mesh is sure that it has no face to lie on."""
    with_profile = []
    for path in sorted((data / "coco128").rglob("*.jpg")):
        image = cv2.imread(str(path))
        found = landmarker.detector(image)
        presence = landmarker.place([image], [found])[0].presence
        with_profile += presence[presence < 0.5].tolist()
        assert len(landmarker(image)) <= (presence >= 0.5).sum()
    assert with_profile                                                     # there are such crops


@pytest.mark.parametrize("options", [
    {"min_presence": 1.5}, {"min_presence": -0.1}, {"min_score": 2}, {"camera": np.zeros((3, 3))},
    {"camera": -1},
])
def test_values_that_cannot_be(landmarker: FaceLandmarker, ancelotti: Image, options: dict[str, object]):
    with pytest.raises(UsageError):
        landmarker(ancelotti, **options)


def test_a_crop_that_the_mesh_refuses_gives_no_face():
    face = np.array([[96, 96, 60, 60, *[80, 90, 110, 90], *[96] * 8, 0.9]], np.float32)
    finder = FaceDetector(FakeEngine(lambda b: (np.repeat(face[None], len(b), 0),)), CARDS["blazeface-full"])
    points = np.random.default_rng(0).uniform(40, 150, (1, 468, 3)).astype(np.float32)
    answers = {"presence": 0.2}

    def run(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.repeat(points, len(batch), 0), np.full(len(batch), answers["presence"], np.float32)

    def closeup(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(batch), 71, 3), np.float32), np.zeros((len(batch), 5, 3), np.float32)

    fake = FaceLandmarker(finder, FakeEngine(run), FakeEngine(closeup), CARDS["facemesh"])
    image = np.zeros((192, 192, 3), np.uint8)
    assert len(fake(image)) == 0
    assert len(fake(image, min_presence=0.1)) == 1


def test_the_crop_of_points_is_level_and_around_them():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = rng.uniform(0, 300, (468, 2)).astype(np.float32)
        crop = crop_of_points(points)
        eyes = points[[33, 263]]
        assert np.allclose(np.arctan2(*(eyes[1] - eyes[0])[::-1]), crop.angle, atol=1e-5)
        turned = (points - crop.centre) @ np.array(
            [[np.cos(crop.angle), -np.sin(crop.angle)], [np.sin(crop.angle), np.cos(crop.angle)]]
        )
        assert np.abs(turned).max() == pytest.approx(crop.side / 1.5 / 2, rel=1e-4)


def test_mesh_groups_lie_where_they_should(landmarker: FaceLandmarker, ancelotti: Image):
    points = landmarker(ancelotti).points[0]
    middle = {name: points[list(group)].mean(axis=0) for name, group in mesh.GROUPS.items()}
    assert middle["right_eye"][0] < middle["nose"][0] < middle["left_eye"][0]       # the subject's right
    assert middle["right_brow"][1] < middle["right_eye"][1] < middle["nose"][1] < middle["lips"][1]
    assert np.linalg.norm(middle["left_iris"] - middle["left_eye"]) < 8
