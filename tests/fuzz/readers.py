"""The readers of foreign data, each with what it may give."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from documents import as_json, as_json_lines, as_rows, as_toml, as_xml
from rule import Reader
from safetensors.numpy import save

from vision import state
from vision.card import Card, Input, card_of
from vision.checkpoint import Checkpoint
from vision.data.classification import labelled_pictures
from vision.data.detection import DetectionData, read_detection
from vision.data.faces import labelled_faces
from vision.data.scenes import find_scenes
from vision.data.words import Words, find_words
from vision.errors import UsageError
from vision.geometry.setup import Setup, read_setup
from vision.io.base import Log, Span
from vision.io.listing import MAX_FILES, leaves_of
from vision.io.pictures import open_picture
from vision.io.stdin import open_stream
from vision.people.gallery import Gallery
from vision.published import onnx_detector
from vision.steps import Spec
from vision.steps.plan import read_plan, spec_of
from vision.tracking.mot import Sequence
from vision.tracking.scene import Scene, read_scene
from vision.tracking.stored import Stored

PIXELS = 1 << 20                 # that a picture may have here
SIDE = 1 << 20                   # pixels of a side: more than any picture's


def texts(values: Iterable[Any]) -> bool:
    return all(type(value) is str for value in values)


def size(value: Any) -> bool:
    return all(type(side) is int and 0 < side <= SIDE for side in value) and len(value) == 2


def share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def words(value: Any) -> None:
    """What `find_words` gives."""
    assert type(value) is Words
    assert len(value.paths) == len(value.texts) == len(value.scenes) >= 1
    assert texts(value.texts)


def scenes(value: Any) -> None:
    """What `find_scenes` gives."""
    assert value
    for scene in value:
        assert all(place.quad.shape == (4, 2) and finite(place.quad) and type(place.text) is str
                   for place in scene.words)


def finite(values: Any) -> bool:
    return bool(np.isfinite(np.asarray(values, np.float64)).all())


def stored(value: Any) -> None:
    """What `Stored.read` gives."""
    assert type(value) is Stored
    assert len(value.names) <= 1 << 16
    assert texts((value.model, *value.names, *value.films))
    assert value.min_score is None or share(value.min_score)
    assert value.films
    for film in value.films.values():
        assert film.size_wh is None or size(film.size_wh)
        assert finite([*film.times.values()])
        for index, found in film.frames.items():
            assert type(index) is int
            assert 0 <= index < 2 ** 53
            every = found.everything
            assert finite(every.boxes), "boxes that are not finite"
            assert (every.scores >= 0).all()
            assert (every.scores <= 1).all()
            assert ((every.labels >= 0) & (every.labels < len(value.names))).all()


def gallery(value: Any) -> None:
    """What `Gallery.load` gives."""
    assert type(value) is Gallery
    assert texts((value.model, *value.names))
    lengths = {vectors.shape[1] for vectors in value.people.values()}
    assert len(lengths) <= 1
    for vectors in value.people.values():
        assert vectors.dtype == np.float32
        assert len(vectors)
        assert finite(vectors)


def sequence(value: Any) -> None:
    """What `Sequence.read` gives; its detections are looked at for the first frames."""
    assert 0 < value.rate < math.inf
    assert 0 < value.length < 2 ** 53
    assert size(value.size_wh)
    for time, found in islice(value.detections(), 10):
        assert math.isfinite(time)
        assert finite(found.boxes)


def setup(value: Any) -> None:
    """What `read_setup` gives: a camera that sees something, or says what is wrong."""
    assert type(value) is Setup
    if value.camera is not None:
        assert size(value.camera.size_wh)
        assert finite((*value.camera.focal, *value.camera.centre, *value.camera.distortion))
    with suppress(UsageError):
        ground = value.ground((640, 480))
        assert ground is None or ground.metres([[320.0, 400.0]]).shape == (1, 2)


def scene(value: Any) -> None:
    """What `read_scene` gives."""
    assert type(value) is Scene
    assert texts(line.name for line in value.lines)
    assert texts(side for line in value.lines for side in (line.left, line.right))
    assert texts(zone.name for zone in value.zones)
    assert value.size_wh is None or size(value.size_wh)
    points = np.array([[0.0, 0.0], [10.0, 10.0], [300.0, 200.0]])
    for one in (*value.lines, *value.zones):
        assert finite(one.distance(points)), "distances that are not finite"
    for line in value.lines:
        assert finite(line.along((5.0, 5.0))), "a place along a line that is not finite"
    if value.ground is not None:
        assert finite(value.ground.homography())
        assert 0 < value.ground.error < math.inf


def card(value: Any) -> None:
    """What `card_of` and `onnx_detector` give."""
    assert type(value) is Card
    assert texts((value.name, value.task, value.file, value.licence, value.source, value.net, value.measured_on))
    assert all(finite([*found.values()]) for found in value.figures.values())
    assert value.form in ("network", "onnx", "openvino", "ultralytics")
    assert size(value.input.size_wh)
    assert max(value.input.size_wh) <= 1 << 13
    assert value.input.resize in ("letterbox", "corner", "stretch", "crop")
    assert len(value.input.mean) == len(value.input.std) == 3
    assert finite(value.input.mean)
    assert finite(1 / np.asarray(value.input.std, np.float64))
    assert share(value.min_score)
    assert share(value.boxes.max_iou)
    assert type(value.tolerance) in (int, float)
    assert 0 <= value.tolerance < math.inf
    assert type(value.clip.frames) is int
    assert 0 < value.clip.frames <= 1 << 12
    assert 0 < value.clip.rate < math.inf
    assert texts(value.classes)
    assert len(value.classes) <= 1 << 16
    assert isinstance(value.config, dict)


def plan(value: Any) -> None:
    """What `read_plan` gives: specs that can be written down and read again."""
    for one in value:
        assert isinstance(one, Spec)
        again = spec_of({"task": one.task, **json.loads(json.dumps(one.to_dict()))})
        assert again == one, "a spec that is another one when it was written down"


def plain(value: Any) -> None:
    """What a checkpoint gives."""
    assert isinstance(value, dict)
    assert texts(value)
    state.dumps(value)


def frames(value: Any) -> None:
    """What a source gives: its first frames."""
    log = Log()
    try:
        for frame in islice(value.frames(Span(), log), 20):
            assert frame.image.dtype == np.uint8
            assert frame.image.ndim == 3
            assert frame.image.shape[2] == 3
            assert 0 < frame.image.shape[0] * frame.image.shape[1] <= PIXELS
            assert math.isfinite(frame.time)
            assert frame.index >= 0
    finally:
        value.close()
    assert all(math.isfinite(side) for side in value.info.size_wh or ())
    assert value.info.rate is None or 0 < value.info.rate < math.inf


def leaves(value: Any) -> None:
    """What a list comes down to."""
    assert len(value) <= MAX_FILES
    assert all(isinstance(leaf, (str, Path)) for leaf in value)


def labels(value: Any) -> None:
    """What `read_detection` gives."""
    assert type(value) is DetectionData
    assert texts(value.names)
    assert len(set(value.names)) == len(value.names)
    for picture in value.pictures:
        width, height = picture.size_wh
        assert (picture.boxes >= 0).all()
        assert (picture.boxes[:, 2:] <= (width, height)).all()
        assert (picture.boxes[:, 2:] > picture.boxes[:, :2]).all()
        assert ((picture.labels >= 0) & (picture.labels < len(value.names))).all()
    assert all(line for line in value.summary())


def classified(value: Any) -> None:
    """What `labelled_pictures` gives."""
    pictures, left_out = value
    assert pictures
    assert len(left_out) <= 1
    assert all(path.is_file() and label in (0, 1) for path, label in pictures)


def faces(value: Any) -> None:
    """What `labelled_faces` gives."""
    for one in value:
        assert one.points.shape[1:] == (68, 2)
        assert finite(one.points), "points that are not finite"


@cache
def _encoded(suffix: str) -> bytes:
    picture = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)
    return cv2.imencode(suffix, picture)[1].tobytes()


def _picture(*places: str) -> Any:
    def around(folder: Path) -> None:
        for place in places:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(_encoded(Path(place).suffix))
    return around


def _texts(files: dict[str, str]) -> Any:
    def around(folder: Path) -> None:
        for place, text in files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text)
    return around


def _beside_yaml(folder: Path) -> None:
    _picture("images/train/a.png")(folder)
    _texts({"labels/train/a.txt": "0 0.5 0.5 0.2 0.2\n"})(folder)


def _yolo_data(folder: Path) -> None:
    _picture("images/train/a.png")(folder)
    _texts({"data.yaml": "names: [a, b]\ntrain: images/train\n"})(folder)


def _voc_data(folder: Path) -> None:
    _picture("JPEGImages/a.png")(folder)
    _texts({"ImageSets/Main/train.txt": "a\n"})(folder)


def _list_data(folder: Path) -> None:
    _picture("a.png", "sub/b.png", "sub/c/d/e/f.png")(folder)
    _texts({"other.txt": "sub\na.png\n", "circle.txt": "list.txt\n"})(folder)


_OBJECT = {"label": "person", "class_id": 0, "score": 0.9, "box": [1.0, 2.0, 30.0, 40.0]}
_RECORDS = [
    {"schema": 2, "kind": "frame", "source": "a.mp4", "frame": n, "time_s": n / 10, "size": [64, 48],
     "detect": {"model": "m", "min_score": 0.5, "objects": [_OBJECT], "weak": [{**_OBJECT, "score": 0.1}]}}
    for n in range(2)
]
_OLD_RECORD = {"task": "detect", "source": "a.mp4", "frame": 0, "time_s": 0.0, "model": "m", "objects": [_OBJECT]}
_SCENE = {
    "anchor": "bottom", "size": [64, 48],
    "line": [{"name": "door", "start": [1, 3], "end": [40, 30], "right": "in", "left": "out"}],
    "zone": [{"name": "queue", "points": [[1, 1], [20, 1], [20, 30]]}],
    "ground": {"image": [[0, 0], [100, 0], [100, 50], [0, 50]], "metres": [[0, 0], [12, 0], [12, 30], [0, 30]],
               "error": 2.0},
}
_PLAN = {"do": [{"task": "detect", "min_score": 0.4, "classes": ["a", "b"], "model": "default"},
                {"task": "track", "on": "detect", "lost_after": 2.0}, {"task": "count", "line": ["1,2,3,4"]}]}
_STATE = {"version": "0.2.0", "plan": {}, "steps": {"a": {"x": np.arange(4.0), "y": [1, None, "t", math.inf]}}}
_COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 12, "height": 8}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5], "iscrowd": 0, "area": 25,
         "segmentation": [[1, 1, 6, 1, 6, 6]]},
        {"id": 2, "image_id": 1, "category_id": 8, "bbox": None, "iscrowd": 0,
         "segmentation": {"size": [8, 12], "counts": [10, 20, 66]}},
    ],
    "categories": [{"id": 7, "name": "thing"}, {"id": 8, "name": "other"}],
}
_YAML = {"path": ".", "train": "images/train", "val": ["images/train"], "names": {"0": "a", "1": "b"}}
_VOC = {"annotation": {
    "size": {"width": 12, "height": 8, "depth": 3},
    "object": [{"name": "dog", "difficult": 0, "bndbox": {"xmin": 1, "ymin": 1, "xmax": 6, "ymax": 5}}],
}}
_METADATA = {"task": "detect", "names": "{0: 'a', 1: 'b'}", "args": "{'nms': False}", "imgsz": "[64, 64]"}
_INI = "[Sequence]\nframeRate=25\nseqLength=3\nimWidth=64\nimHeight=48\n"
_Y4M = b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420jpeg\n" + b"FRAME\n" + bytes(range(192)) * 2
_PARTS = "".join(f"<part name='{i:02}' x='{i}' y='{i}'/>" for i in range(68))
_BOMB = b"<!DOCTYPE a [" + b"".join(
    b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10 if n else b"x" * 100) for n in range(9)
) + b"]><annotation><object><name>&e8;</name></object></annotation>"


def _card_json(value: Any) -> str:
    return json.dumps({"version": 2, **value}) if isinstance(value, dict) else json.dumps(value)


def _whole_card() -> Any:
    made = Card(name="mine", task="detect", file="", licence="l", source="s", input=Input((64, 64), "stretch"),
                names=("a", "b"), net="gfl", config={"classes": 2})
    return json.loads(made.to_json())


def _card_of_text(path: Path) -> Card:
    """A card as the metadata of a file of weights: what the text is read from."""
    text = path.read_bytes().decode(errors="replace")
    file = path.with_name("w.safetensors")
    file.write_bytes(save({"x": np.zeros(1, np.float32)}, {"card": text}))
    return card_of(file)


def _onnx(metadata: Any) -> bytes:
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64]),
              helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 6, 84])]
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["output"])], "g", values[:1], values[1:])
    model = helper.make_model(graph)
    if isinstance(metadata, dict):
        helper.set_model_props(model, {str(key): str(value) for key, value in metadata.items()})
    return bytes(model.SerializeToString())


def _detector_of_text(path: Path) -> Card:
    """An ONNX file with the metadata of a JSON text."""
    try:
        metadata = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        metadata = {}
    file = path.with_name("m.onnx")
    try:
        file.write_bytes(_onnx(metadata))
    except UnicodeEncodeError:                            # no such metadata can be written
        file.write_bytes(b"")
    return onnx_detector(file)


def _elsewhere(data: bytes) -> bool:
    """A list that leaves its folder: what it finds is this machine's, not the list's."""
    lines = (line.strip() for line in data.splitlines())
    return b".." in data or b"file:" in data.lower() or any(line.startswith((b"/", b"~", b"#!")) for line in lines)


_SCENES = [{"file_name": "a.png", "words": [{"quad": [[1, 2], [9, 2], [9, 6], [1, 6]], "text": "x", "ignore": False}]}]

_SETUP = {
    "camera": {"size": [640, 480], "focal": [500.0, 500.0], "centre": [319.5, 239.5], "distortion": [-0.2, 0.1, 0, 0]},
    "mounting": {"height": 1.4, "pitch": 2.0, "bounce": 0.3},
    "ground": {"image": [[100, 400], [500, 400], [600, 470], [20, 470]],
               "metres": [[20, 2], [20, -2], [8, -2], [8, 2]]},
}
_CAMERA_YAML = {
    "image_width": 640, "image_height": 480, "distortion_model": "plumb_bob",
    "camera_matrix": {"rows": 3, "cols": 3, "data": [500.0, 0, 319.5, 0, 500.0, 239.5, 0, 0, 1]},
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": [-0.2, 0.1, 0, 0, 0]},
}
_GALLERY = save({
    "vectors": np.arange(6, dtype=np.float32).reshape(3, 2),
    "about": np.frombuffer(as_json({"version": 1, "model": "net", "people": {"Ann": 2, "Bob": 1}}).encode(), np.uint8),
})

READERS = {
    "records": Reader(
        "r.jsonl", Stored.read, stored, (as_json_lines(_RECORDS).encode(), as_json(_OLD_RECORD).encode()),
        document=_RECORDS, text=as_json_lines,
    ),
    "old-records": Reader(
        "r.jsonl", Stored.read, stored, (as_json(_OLD_RECORD).encode(),), document=[_OLD_RECORD], text=as_json_lines,
    ),
    "mot": Reader(
        "r.txt", Stored.read, stored, (b"1,-1,10,10,20,20,0.9,-1,-1,-1\n2,-1,10,10,20,20,0.9\n", b"1 1 2 3 4 5\n"),
        document=[[1, -1, 10, 10, 20, 20, 0.9], [3, -1, 10, 10, 20, 20, 0.5]], text=as_rows(","),
    ),
    "mot-sequence": Reader(
        "seqinfo.ini", lambda path: Sequence.read(path.parent), sequence, (_INI.encode(),),
        around=_texts({"det/det.txt": "1,-1,1,1,2,2,1\n"}),
    ),
    "mot-detections": Reader(
        "det/det.txt", lambda path: Sequence.read(path.parents[1]), sequence, (b"1,-1,10,10,20,20,0.9,-1,-1,-1\n",),
        around=_texts({"seqinfo.ini": _INI}), document=[[1, -1, 10, 10, 20, 20, 0.9]], text=as_rows(","),
    ),
    "scene": Reader(
        "scene.toml", read_scene, scene, (as_toml(_SCENE).encode(),), document=_SCENE, text=as_toml,
    ),
    "setup": Reader(
        "camera.toml", read_setup, setup, (as_toml(_SETUP).encode(),), document=_SETUP, text=as_toml,
    ),
    "setup-yaml": Reader(
        "camera.yaml", read_setup, setup,
        (as_json(_CAMERA_YAML).encode(), b"%YAML:1.0\n---\na: &a [1]\nimage_width: *a\n",
         b"x: !!opencv-matrix\n   data: [1]\n"),
        document=_CAMERA_YAML, text=as_json,
    ),
    "plan": Reader("plan.toml", read_plan, plan, (as_toml(_PLAN).encode(),), document=_PLAN, text=as_toml),
    "card": Reader(
        "card.json", _card_of_text, card, (_card_json(_whole_card()).encode(),), document=_whole_card(),
        text=_card_json,
    ),
    "gallery": Reader("g.faces", Gallery.load, gallery, (_GALLERY, b"vision gallery, encrypted 1\n" + b"x" * 60)),
    "weights": Reader(
        "w.safetensors", card_of, card, (save({"x": np.zeros(1, np.float32)}, {"card": _card_json(_whole_card())}),),
    ),
    "onnx": Reader(
        "m.json", _detector_of_text, card,
        (as_json(_METADATA).encode(),), document=_METADATA, text=as_json,
    ),
    "state": Reader("s", lambda path: state.loads(path.read_bytes()), plain, (state.dumps(_STATE),)),
    "checkpoint": Reader(
        "c", lambda path: Checkpoint(path, 1.0, {}).load(), plain, (state.dumps(_STATE),),
        document={"map": {"version": "0.2.0", "plan": {"map": {}}, "x": [1, {"map": {}}]}}, text=as_json,
    ),
    "list": Reader(
        "list.txt", lambda path: leaves_of(str(path), Log()), leaves,
        (b"a.png\nother.txt\n# remark\nsub\nsub/*.png\n**/*.png\nrtsp://h/x\n0\n",), around=_list_data,
        document=[["a.png"], ["sub"], ["*/**/*.png"], ["other.txt"]], text=as_rows("/"), skips=_elsewhere,
    ),
    "stdin": Reader(
        "v", lambda path: open_stream(BytesIO(path.read_bytes()), PIXELS, PIXELS), frames,
        (_Y4M, _encoded(".png") + _encoded(".jpg"), _encoded(".jpg") * 2),
    ),
    "picture": Reader(
        "a.png", lambda path: open_picture(str(path), path, PIXELS), frames,
        tuple(_encoded(suffix) for suffix in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm")),
    ),
    "labels-yolo": Reader(
        "labels/train/a.txt", lambda path: read_detection(path.parents[2], "train", masks=True), labels,
        (b"0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.2 0.1 0.2 0.2\n",), around=_yolo_data,
        document=[[0, 0.5, 0.5, 0.2, 0.2], [1, 0.1, 0.1, 0.2, 0.1, 0.2, 0.2]], text=as_rows(" "),
    ),
    "labels-yaml": Reader(
        "data.yaml", lambda path: read_detection(path.parent, "train"), labels,
        (b"names: [a, b]\ntrain: images/train\nval: images/train\n", as_json(_YAML).encode()),
        around=_beside_yaml,
        document=_YAML, text=as_json, skips=_elsewhere,
    ),
    "labels-coco": Reader(
        "train.json", lambda path: read_detection(path.parent, "train", masks=True), labels, (as_json(_COCO).encode(),),
        around=_picture("a.png"), document=_COCO, text=as_json,
    ),
    "labels-voc": Reader(
        "Annotations/a.xml", lambda path: read_detection(path.parents[1], "train"), labels,
        (as_xml(_VOC).encode(), _BOMB), around=_voc_data, document=_VOC, text=as_xml,
    ),
    "labels-csv": Reader(
        "labels.csv", lambda path: labelled_pictures(path, ("a", "b")), classified,
        (b"file,label\na.png,a\n", b"file,class_id\na.png,1\n"), around=_picture("a.png"),
        document=[["file", "class_id"], ["a.png", 1], ["b.png", 0]], text=as_rows(","),
    ),
    "labels-faces": Reader(
        "f.csv", labelled_faces, faces,
        (f"image,{','.join(f'x{i},y{i}' for i in range(68))}\na.png,{','.join(map(str, range(136)))}\n".encode(),),
        document=[["image", *(f"{side}{i}" for i in range(68) for side in "xy")], ["a.png", *range(136)]],
        text=as_rows(","),
    ),
    "labels-dlib": Reader(
        "f.xml", labelled_faces, faces,
        (f"<d><images><image file='a.png'><box>{_PARTS}</box></image></images></d>".encode(), _BOMB),
    ),
    "words-csv": Reader(
        "words.csv", find_words, words, (b"image,text,scene\na.png,Hello,1\n",), around=_picture("a.png"),
        document=[["image", "text", "scene"], ["a.png", "Hello", 1]], text=as_rows(","),
    ),
    "words-icdar": Reader(
        "gt.txt", find_words, words, (b'a.png, "Genaxis"\n', b"\xef\xbb\xbfa.png, Theatre\n"), around=_picture("a.png"),
    ),
    "scenes-json": Reader(
        "scenes.json", find_scenes, scenes, (json.dumps(_SCENES).encode(),), around=_picture("a.png"),
        document=_SCENES, text=as_json,
    ),
    "scenes-icdar": Reader(
        "gt_a.txt", lambda path: find_scenes(path.parent), scenes, (b"1,2,21,2,21,12,1,12,Hello, you\n",),
        around=_picture("a.png"),
    ),
}
if find_spec("mcap") and find_spec("rosbags"):           # the extra `robot`
    import robot_readers

    READERS |= robot_readers.readers(frames)
