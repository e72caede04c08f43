"""What docs/security.md says of untrusted input, sentence by sentence."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import resource
import shutil
import ssl
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from vision import Detect, Detector, JsonLines, Run, SaveFrames, Track, VideoWriter, read
from vision.card import Card, Input, card_of
from vision.errors import DataError, EngineError, ModelError, SourceError, UsageError, VisionError, WeightsError
from vision.io.base import Log, Span
from vision.io.stdin import open_stream

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
from documents import documents, written

RED = "\x1b[31m"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A film of the user's, which no source may show by way of another file."""
    path = tmp_path / "secret.mp4"
    with VideoWriter(path) as out:
        for i in range(5):
            out.write(np.full((48, 64, 3), 40 * i, np.uint8), i / 10)
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))[1].tobytes())
    return path


def frames_of(source: object) -> int:
    return sum(1 for _ in read(source, max_frames=50))


# which files a source can reach

PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{secret}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
           "a=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
            '<Representation id="1"><BaseURL>{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"><image href="{secret}"/></svg>',
    "eps": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n({secret}) run\n",
    "pdf": "%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n({secret})\n%%EOF\n",
    "subtitles": "# VobSub index file, v7\nsize: 64x48\ntimestamp: 00:00:00:000, filepos: 000000000\n",
}
SUFFIXES = {"hls": ".m3u8", "concat": ".ffconcat", "sdp": ".sdp", "dash": ".mpd", "svg": ".svg", "eps": ".eps",
            "pdf": ".pdf", "subtitles": ".idx"}


@pytest.mark.parametrize("name", ["its own", ".mp4", ".jpg", "-"])
@pytest.mark.parametrize("kind", list(PLAYLISTS))
def test_what_names_other_files_is_no_source(kind: str, name: str, clip: Path, tmp_path: Path) -> None:
    text = PLAYLISTS[kind].format(secret=clip).encode()
    path = tmp_path / f"list{SUFFIXES[kind] if name == 'its own' else name}"
    path.write_bytes(text)
    with pytest.raises(SourceError):
        frames_of(path) if name != "-" else list(open_stream(io.BytesIO(text), 10 ** 6, 10 ** 6).frames(Span(), Log()))


class Handler(SimpleHTTPRequestHandler):
    """Gives a folder; `/to?ADDRESS` sends one there."""

    def do_GET(self) -> None:
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server of a folder, on this machine: its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that a server of this machine gives, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as port:
        yield folder, f"http://127.0.0.1:{port}"


def as_segment(clip: Path, folder: Path) -> Path:
    import av

    path = folder / "part.ts"
    with av.open(str(clip)) as source, av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return path


def test_a_playlist_of_a_server_plays_what_the_server_has(clip: Path, served: tuple[Path, str]) -> None:
    folder, address = served
    as_segment(clip, folder)
    (folder / "list.m3u8").write_text(PLAYLISTS["hls"].format(secret="part.ts"))
    assert frames_of(f"{address}/list.m3u8") == 5


@pytest.mark.parametrize("reach", [
    "file://{}", "file:{}", "{}", "concat:{}", "subfile,,start,0,end,0,,:{}", "crypto+file:{}", "cache:file:{}",
    "async:file:{}", "concat:file:{}|file:{}",
])
def test_a_playlist_of_a_server_reaches_no_file_here(
    reach: str, clip: Path, tmp_path: Path, served: tuple[Path, str]
) -> None:
    folder, address = served
    secret = as_segment(clip, tmp_path)
    (folder / "list.m3u8").write_text(PLAYLISTS["hls"].format(secret=reach.format(secret, secret)))
    with pytest.raises(SourceError):
        frames_of(f"{address}/list.m3u8")


@pytest.mark.slow
@pytest.mark.parametrize("reach", ["file://{}", "{}", "concat:{}", "cache:{}"])
def test_a_server_that_sends_one_on_reaches_no_file_here(reach: str, clip: Path, served: tuple[Path, str]) -> None:
    with pytest.raises(SourceError):
        frames_of(f"{served[1]}/to?{reach.format(clip)}")


@pytest.mark.parametrize("scheme", [
    "concat", "cache", "cache:file", "subfile", "async:file", "crypto+file", "pipe", "fd", "data", "md5", "unix",
    "FILE", "tee", "lavfi", "gopher", "httpproxy",
])
def test_an_address_is_of_a_network(scheme: str, clip: Path) -> None:
    """What FFmpeg would take for a way to a file, a pipe or another program's socket."""
    with pytest.raises(SourceError, match=r"is no address that can be read|there is no"):
        frames_of(f"{scheme}://{clip}")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl, to make a certificate")
def test_a_server_whose_certificate_nobody_signed(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(clip.parent, context) as port:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with pytest.raises(SourceError, match="no connection that can be trusted; SSL_CERT_FILE"):
            frames_of(f"https://localhost:{port}/{clip.name}")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert frames_of(f"https://localhost:{port}/{clip.name}") == 5
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "misspelt.pem"))
        with pytest.raises(SourceError, match="no connection that can be trusted; SSL_CERT_FILE"):
            frames_of(f"https://localhost:{port}/{clip.name}")
        monkeypatch.delenv("SSL_CERT_FILE")
        nowhere = ssl.get_default_verify_paths()._replace(cafile=None)
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
        with pytest.raises(SourceError, match="no connection that can be trusted; SSL_CERT_FILE"):
            frames_of(f"https://localhost:{port}/{clip.name}")


def test_a_list_is_read_where_it_is_named_alone(clip: Path, tmp_path: Path) -> None:
    """An upload that is called a.txt, among others."""
    uploads = tmp_path / "uploads"
    picture(uploads / "a.png")
    (uploads / "b.txt").write_text(f"{clip}\n")
    for source in (uploads, f"{uploads}/*", f"{uploads}/**"):
        log = read(source)
        assert [frame.size_wh for frame in log] == [(64, 48)], source
        assert log.counts.decoded == 1
    assert frames_of(uploads / "b.txt") == 5


def test_links_in_a_folder(clip: Path, tmp_path: Path) -> None:
    """A link to a file is that file; one to a folder is not gone into."""
    uploads = tmp_path / "uploads"
    picture(uploads / "a.png")
    elsewhere = picture(tmp_path / "elsewhere/b.png").parent
    (uploads / "folder").symlink_to(elsewhere)
    assert frames_of(uploads) == 1
    (uploads / "c.png").symlink_to(elsewhere / "b.png")
    assert frames_of(uploads) == 2


def mine(**changes: Any) -> dict[str, Any]:
    card = Card(name="mine", task="detect", file="", licence="l", source="s", input=Input((64, 64), "stretch"),
                net="gfl", names=("a", "b"))
    return {**json.loads(card.to_json()), **changes}


def weights(path: Path, card: object) -> Path:
    path.write_bytes(save({"x": np.zeros(1, np.float32)}, {"card": json.dumps(card)}))
    return path


@pytest.mark.parametrize("reach", ["{}", "../../../../../..{}", "../names/voc", "voc.txt", "", ".", "/", "a\0b"])
def test_a_card_names_no_file(reach: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the password\n")
    path = weights(tmp_path / "w.safetensors", mine(names=reach.format(secret.with_suffix(""))))
    with pytest.raises(WeightsError, match="cannot be read") as told:
        card_of(path)
    assert "password" not in str(told.value)


def onnx_with(location: str, folder: Path) -> Path:
    values = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64]),
              helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 4096])]
    weight = numpy_helper.from_array(np.zeros(12288, np.float32).reshape(1, 3, 4096), "w")
    onnx.external_data_helper.set_external_data(weight, location)
    weight.ClearField("raw_data")
    shape = numpy_helper.from_array(np.array([1, 3, 4096]), "shape")
    nodes = [helper.make_node("Reshape", ["images", "shape"], ["flat"]),
             helper.make_node("Add", ["flat", "w"], ["output"])]
    model = helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], [weight, shape]))
    helper.set_model_props(model, {"task": "detect", "names": "{0: 'a'}", "args": "{'nms': False}"})
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("reach", ["../secret.bin", "{}", "link.bin", "sub/../../secret.bin"])
def test_an_onnx_file_reads_no_weights_outside_of_its_folder(reach: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones(12288, np.float32).tobytes())
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.bin").symlink_to(secret)
    path = onnx_with(reach.format(secret), folder)
    with pytest.raises((WeightsError, ModelError, EngineError)):
        Detector.load(str(path), backend="onnxruntime")(np.zeros((64, 64, 3), np.uint8))


def test_a_data_set_names_its_pictures(tmp_path: Path) -> None:
    """A data.yaml may name any folder: what is trained on is what it says."""
    from vision.data.detection import read_detection

    elsewhere = detection_set(tmp_path / "elsewhere", "")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/data.yaml").write_text(f"names: [a]\npath: {elsewhere}\ntrain: images/train\n")
    (found,) = read_detection(tmp_path / "data", "train").pictures
    assert found.path == elsewhere / "images/train/a.png"


FRAMES, RECORDS = 12, "r.jsonl"


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of tracks and pictures that was left in the middle: its checkpoint, in the folder where one is then."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with VideoWriter("v.mp4") as out:
        for i in range(FRAMES):
            out.write(np.full((48, 64, 3), 10 * i, np.uint8), i / 10)
    seen = [{"label": "a", "class_id": 0, "score": 0.9, "box": [5, 5, 25, 40]}]
    lines = [{"schema": 2, "kind": "frame", "source": "v.mp4", "frame": i, "time_s": i / 10, "size": [64, 48],
              "detect": {"model": "m", "objects": seen}} for i in range(FRAMES)]
    Path(RECORDS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with going(checkpoint_every=1e-6) as run:
        for item in run:
            if item.frame.index == FRAMES // 2:
                break
    return here / "o.jsonl.checkpoint"


def going(**how: Any) -> Run:
    sinks = [JsonLines("o.jsonl"), SaveFrames("pictures")]
    return Run("v.mp4", [Detect(stored=RECORDS), Track()], sinks, **how)


@pytest.mark.slow
def test_a_checkpoint_that_was_changed(stopped: Path) -> None:
    """Whatever it says, and whether or not that can be gone on with: nothing is written but the outputs of the plan."""
    with zipfile.ZipFile(stopped) as file:
        whole = {name: file.read(name) for name in file.namelist()}
    outputs = {path: path.read_bytes() for path in stopped.parent.rglob("*") if path.is_file()}
    places = {stopped.parent / "pictures", *outputs}

    @settings(max_examples=60, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(documents(json.loads(whole["state.json"])))
    def changed(values: object) -> None:
        for path, data in outputs.items():
            path.write_bytes(data)
        with zipfile.ZipFile(stopped, "w") as file:
            for name, data in {**whole, "state.json": written(json.dumps(values))}.items():
                file.writestr(zipfile.ZipInfo(name), data)
        with suppress(Exception), going(resume=True) as run:
            run.finish()
        new = {path for path in stopped.parent.parent.rglob("*") if path.is_file()} - places
        assert all(path.parent == stopped.parent / "pictures" for path in new), new

    changed()


def test_a_checkpoint_names_no_other_file(stopped: Path) -> None:
    with zipfile.ZipFile(stopped) as file:
        whole = {name: file.read(name) for name in file.namelist()}
    before = {path for path in stopped.parents[1].rglob("*") if path.is_file()}
    with zipfile.ZipFile(stopped, "w") as file:
        for name, data in {**whole, "state.json": whole["state.json"].replace(b'["v", 0]', b'["../../v", 0]')}.items():
            file.writestr(zipfile.ZipInfo(name), data)
    with going(resume=True) as run:
        run.finish()
    new = {path for path in stopped.parents[1].rglob("*") if path.is_file()} - before
    assert len(new) > 3
    assert {path.parent for path in new} == {stopped.parent / "pictures"}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Where this process would have connected to."""
    asked: list[object] = []

    def refuse(*arguments: object) -> None:
        asked.append(arguments[1:])
        raise OSError("no network here")

    for way in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(f"socket.socket.{way}", refuse)
    monkeypatch.setattr("socket.getaddrinfo", lambda *arguments, **_: refuse(None, *arguments))
    return asked


@pytest.mark.slow
@pytest.mark.parametrize(("net", "config"), [
    ("timm_classifier", {"arch": "hf-hub:timm/resnet18.a1_in1k", "classes": 2}),
    ("timm_classifier", {"arch": "local-dir:/etc", "classes": 2}),
    ("smp", {"arch": "fpn", "encoder": "tu-hf-hub:timm/resnet18.a1_in1k", "classes": 2}),
    ("faster_rcnn", {"classes": 2, "encoder": "tu-hf-hub:timm/resnet18.a1_in1k"}),
    ("smp", {"arch": "fpn", "encoder": "resnet18", "classes": 2, "options": {"encoder_weights": "imagenet"}}),
    ("torchvision_classifier", {"arch": "resnet18", "classes": 10 ** 9}),
    ("torchvision_segmenter", {"arch": "os", "classes": 2}),
])
def test_a_card_fetches_nothing(net: str, config: dict[str, Any], offline: list[object], tmp_path: Path) -> None:
    path = weights(tmp_path / "w.safetensors", mine(net=net, config=config))
    with pytest.raises(VisionError):
        Detector.load(str(path), backend="torch")(np.zeros((64, 64, 3), np.uint8))
    assert offline == []


@pytest.mark.slow
def test_a_run_uses_no_network(clip: Path, tmp_path: Path, offline: list[object]) -> None:
    with Run(str(clip), [Detect(), Track()], [JsonLines(tmp_path / "o.jsonl")]) as run:
        run.finish()
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 5
    assert offline == []


# what is never executed


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.system, (f"touch {self.marker}",)


def bare(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


def before_a_zip(value: object, path: Path) -> None:
    """What torch takes for a pickle by its first bytes, and a reader of zips for a harmless checkpoint."""
    torch.save({"model": torch.nn.Conv2d(1, 1, 1)}, path)
    path.write_bytes(pickle.dumps(value, protocol=2) + path.read_bytes())


@pytest.mark.parametrize("suffix", [
    pytest.param(".pt", marks=[pytest.mark.slow, pytest.mark.yolo]), ".pth", ".ckpt", ".safetensors", ".onnx",
])
@pytest.mark.parametrize("how", [torch.save, bare, before_a_zip])
def test_no_file_of_weights_runs_its_code(suffix: str, how: Callable[..., object], tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / f"evil{suffix}"
    how({"model": Evil(marker)}, path)
    with pytest.raises(VisionError):
        Detector.load(str(path))
    assert not marker.exists()


@pytest.mark.slow
@pytest.mark.yolo
def test_a_plan_of_a_yolo_runs_no_code(tmp_path: Path) -> None:
    from vision.tasks.yolo import ultralytics

    plan, marker = tmp_path / "yolo11n.yaml", tmp_path / "executed"
    yolo = ultralytics("a test")
    text = next(Path(sys.modules["ultralytics"].__file__).parent.rglob("yolo11.yaml")).read_text()
    plan.write_text(f"activation: __import__('os').system('touch {marker}')\n{text}")
    with pytest.raises(TypeError, match="activation"):
        yolo(str(plan))
    assert not marker.exists()


def detection_set(folder: Path, text: str) -> Path:
    picture(folder / "images/train/a.png")
    (folder / "labels/train").mkdir(parents=True)
    (folder / "labels/train/a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "data.yaml").write_text(text)
    return folder


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [touch {}]", "!!python/name:os.system",
                                 "!!python/object/new:os.system ['touch {}']"])
def test_yaml_makes_plain_values_alone(tag: str, tmp_path: Path) -> None:
    from vision.data.detection import read_detection

    marker = tmp_path / "executed"
    folder = detection_set(tmp_path / "data", f"names: [a]\ntrain: images/train\nx: {tag.format(marker)}\n")
    with pytest.raises(DataError, match="could not determine a constructor"):
        read_detection(folder, "train")
    assert not marker.exists()


# what is bounded


def bounded(code: str, *arguments: object, memory: int = 4 << 30) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own that may have so much memory, and a minute."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )


READ_LABELS = "import sys; from pathlib import Path; from vision.data.detection import read_detection; " \
              "read_detection(Path(sys.argv[1]), 'train')"


@pytest.mark.slow
def test_yaml_that_grows_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    folder = detection_set(tmp_path / "data", "\n".join([*lines, "names: [*a11]", "train: images/train\n"]))
    done = bounded(READ_LABELS, folder)
    assert "MemoryError" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vision.errors.DataError"), done.stderr[-300:]


def test_entities_of_xml_neither_grow_nor_read_files(tmp_path: Path) -> None:
    from vision.data.detection import read_detection

    picture(tmp_path / "JPEGImages/a.png")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text("a\n")
    (tmp_path / "Annotations").mkdir()
    secret = tmp_path / "secret"
    secret.write_text("password")
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 100}">' for n in range(12))
    for head, name in ((entities, "&e11;"), (f'<!ENTITY e SYSTEM "file://{secret}">', "&e;")):
        (tmp_path / "Annotations/a.xml").write_text(
            f"<!DOCTYPE a [{head}]><annotation><object><name>{name}</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
            "<xmax>6</xmax><ymax>5</ymax></bndbox></object></annotation>"
        )
        with pytest.raises(DataError) as told:
            read_detection(tmp_path, "train")
        assert "password" not in str(told.value)


@pytest.mark.slow
def test_a_compressed_graph_has_a_bound(tmp_path: Path) -> None:
    """2 GB of zeros in 2 MB."""
    packer = zlib.compressobj(9)
    bomb = b"".join([packer.compress(bytes(1 << 24)) for _ in range(128)] + [packer.flush()])
    tensors = {"graph": np.frombuffer(bomb, np.uint8), "weights": np.zeros(4, np.uint8)}
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(tensors, {"card": json.dumps(mine(form="openvino", net=""))}))
    code = "import sys, numpy; from vision import Detector; Detector.load(sys.argv[1])(numpy.zeros((64, 64, 3), 'u1'))"
    done = bounded(code, path)
    assert "MemoryError" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vision.errors."), done.stderr[-300:]


class Endless(io.RawIOBase):
    """An mp4 that never ends, its index nowhere."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += 1 << 20
        return b"\0\0\0\x18ftypisom" + bytes(12) + b"\x7f\xff\xff\xffmdat" if self.given == 1 << 20 else bytes(1 << 20)


def test_what_is_kept_on_the_disk_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision.io.stdin.MAX_SPOOLED", 1 << 24)
    stream = Endless()
    with pytest.raises(SourceError, match="more than"):
        open_stream(stream, 10 ** 6, 10 ** 6)
    assert stream.given < 1 << 25


# what is printed


def test_an_error_is_one_line_whatever_is_in_it() -> None:
    said = str(DataError(f"{RED}a\r\nb\u2028c\ud800 \u202egnp {'x' * 9999} Do this."))
    assert said.startswith(r"\x1b[31ma\r\nb\u2028c\ud800 \u202egnp xxx")
    assert said.endswith("xxx Do this.")
    assert len(said) <= 2010
    assert str(UsageError("größer als 3 µm, 東京")) == "größer als 3 µm, 東京"


@pytest.mark.slow
def test_foreign_names_do_not_reach_the_terminal_raw(tmp_path: Path) -> None:
    """Names of files, of classes, of lines; in errors, notes and summaries."""
    name = f"{RED}[b]x\n\u202ey"
    (tmp_path / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    picture(tmp_path / f"{name}/a.png")
    (tmp_path / "scene.toml").write_text('[[line]]\nname = "\\u001b[31mred\\n"\nstart = [1, 1]\nend = [1, 1]\n')
    (tmp_path / "plan.toml").write_text('[[do]]\ntask = "\\u001b[31m"\n')
    (tmp_path / "r.jsonl").write_text(json.dumps({"task": RED}) + "\n")
    weights(tmp_path / "w.safetensors", mine(net=RED, names=[RED]))
    for arguments in (
        ["detect", "."], ["detect", f"{name}.png"], ["detect", "nothing\x1b[31m"], ["probe", f"{name}.png"],
        ["count", f"{name}/a.png", "--scene", "scene.toml"], ["run", "a", "--plan", "plan.toml"],
        ["track", f"{name}/a.png", "--from", "r.jsonl"], ["detect", f"{name}/a.png", "--classes", RED],
        ["detect", f"{name}/a.png", "--model", "w.safetensors"], ["detect", f"{name}/a.png", "--model", RED],
        ["models", "show", "w.safetensors"], ["models", "check", RED],
    ):
        command = [sys.executable, "-m", "vision", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        said = done.stderr + done.stdout
        assert "\x1b" not in said, (arguments, said)
        assert "\u202e" not in said, (arguments, said)
        assert "Traceback" not in said, (arguments, said)


def test_every_test_that_the_page_names_is_there() -> None:
    root = Path(__file__).parent
    page = (root.parent / "docs/security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    tests = "\n".join(path.read_text(encoding="utf-8") for path in root.rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    assert named - there == set()
    assert len(named) > 30
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| what", "| ---"))]
    assert [row for row in rows if "`test_" not in row] == []
