"""Pictures of every kind, against Pillow's own conversions and known values."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from vision.errors import SourceError
from vision.io import read
from vision.io.pictures import decode_picture, is_picture, natural


@pytest.fixture
def scene() -> PIL.Image.Image:
    """A smooth, lopsided picture, 48x32: no two orientations look alike."""
    y, x = np.mgrid[:32, :48]
    return PIL.Image.fromarray(np.stack([x * 5, y * 7, (x + y) * 3], -1).astype(np.uint8))


def saved(picture: PIL.Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb(image: np.ndarray) -> np.ndarray:
    return image[..., ::-1].astype(int)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(scene: PIL.Image.Image, tmp_path: Path, kind: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = saved(scene, kind, exif=exif, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    wanted = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))).convert("RGB"))
    got = decode_picture(data)
    assert got.shape == wanted.shape == ((32, 48, 3) if orientation < 5 else (48, 32, 3))
    assert np.abs(rgb(got) - wanted).max() <= 3
    assert got.flags.c_contiguous
    (tmp_path / "picture").write_bytes(data)
    assert read(tmp_path / "picture").info.size_wh == (got.shape[1], got.shape[0])


@pytest.mark.parametrize(("mode", "kind"), [
    ("L", "PNG"), ("L", "JPEG"), ("1", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGB", "BMP"), ("RGB", "PPM"),
    ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "JPEG"), ("RGB", "WEBP"),
])                                                                                  # fmt: skip
def test_modes_are_converted_as_pillow_converts_them(scene: PIL.Image.Image, mode: str, kind: str) -> None:
    data = saved(scene.convert(mode), kind)
    wanted = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))
    got = decode_picture(data)
    assert got.dtype == np.uint8
    assert np.abs(rgb(got) - wanted).max() <= 2                 # two builds of libjpeg may round apart


def test_sixteen_bits_keep_their_upper_eight() -> None:
    deep = (np.arange(64 * 40, dtype=np.uint16).reshape(64, 40) * 25).astype(np.uint16)
    for suffix in (".png", ".tiff", ".pgm"):
        _, data = cv2.imencode(suffix, deep)
        assert (decode_picture(data.tobytes()) == (deep >> 8)[..., None]).all(), suffix
    colour = np.stack([deep, deep[::-1], deep // 2], -1)
    _, data = cv2.imencode(".png", colour)
    assert np.abs(decode_picture(data.tobytes()).astype(int) - (colour >> 8)).max() <= 1


def test_floating_point_is_stretched_over_its_range() -> None:
    ramp = np.linspace(-2.0, 6.0, 256, dtype=np.float32).reshape(16, 16)
    got = decode_picture(saved(PIL.Image.fromarray(ramp), "TIFF"))
    assert np.abs(got[..., 0].reshape(-1).astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_parts_lie_on_white(mode: str) -> None:
    picture = PIL.Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((255, 128, 0)):
        picture.putpixel((x, 0), (100, 100, 100, alpha))
    if mode == "PA":
        data = saved(picture.quantize(8), "PNG")
    else:
        data = saved(picture.convert(mode), "PNG")
    assert np.abs(decode_picture(data)[0, :, 0].astype(int) - [100, 177, 255]).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_are_read_as_video(tmp_path: Path, kind: str) -> None:
    shades, durations = [40, 90, 140, 190], [100, 250, 70, 500]
    pictures = [PIL.Image.new("RGB", (20, 10), (s, s, s)) for s in shades]
    path = tmp_path / f"moves.{kind.lower()}"
    pictures[0].save(path, kind, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    with read(path) as source:
        frames = list(source)
    assert [f.time for f in frames] == pytest.approx([0.0, 0.1, 0.35, 0.42])
    assert [round(float(f.image.mean())) for f in frames] == pytest.approx(shades, abs=2)
    assert source.info.kind == "animation"
    assert source.info.frames_estimate == 4
    with read(path, start=0.1, stride=2) as source:
        assert [f.index for f in source] == [1, 3]
        assert source.counts.passed_over == 2


def test_the_pages_of_a_tiff(tmp_path: Path) -> None:
    pages = [PIL.Image.new("L", (8 + i, 8), 50 * i) for i in range(3)]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    frames = list(read(tmp_path / "pages.tiff"))
    assert [(f.index, f.time, f.size_wh, int(f.image.max())) for f in frames] == [
        (0, 0.0, (8, 8), 0), (1, 1.0, (9, 8), 50), (2, 2.0, (10, 8), 100),
    ]                                                                               # fmt: skip


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size; there are no pixels behind it."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = (
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (head, body, b"IEND")
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def jpeg_of(scene: PIL.Image.Image, width: int, height: int) -> bytes:
    data = bytearray(saved(scene, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


_CHILD = """
import resource, sys
from vision.errors import SourceError
from vision.io import read
import cv2
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for path in sys.argv[1:]:
    try:
        frames = list(read(path))
        print("read", len(frames), max(f.image.size for f in frames))
    except SourceError as error:
        print("SourceError", error)
"""


def in_child(*paths: Path) -> list[str]:
    """What reading files does in a process that may have 3 GiB of memory."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *map(str, paths)],
        capture_output=True, text=True, timeout=120, check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, scene: PIL.Image.Image) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of(60_000, 60_000))
    (tmp_path / "bomb.jpg").write_bytes(jpeg_of(scene, 60_000, 60_000))
    for line in in_child(tmp_path / "bomb.png", tmp_path / "bomb.jpg"):
        assert line.startswith("SourceError")
        assert "more than the 200000000 pixels" in line


def test_the_limit_can_be_moved_and_is_nobody_elses(tmp_path: Path, scene: PIL.Image.Image) -> None:
    path = tmp_path / "scene.png"
    scene.save(path)
    before = PIL.Image.MAX_IMAGE_PIXELS
    assert next(read(path, max_pixels=48 * 32)).size_wh == (48, 32)
    with pytest.raises(SourceError, match=r"more than the 1535 pixels .* Make it smaller"):
        read(path, max_pixels=48 * 32 - 1)
    assert before == PIL.Image.MAX_IMAGE_PIXELS
    assert PIL.Image.open(path).size == (48, 32)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_picture_that_is_cut_off_is_an_error(scene: PIL.Image.Image, kind: str) -> None:
    data = saved(scene.resize((480, 320)), kind)
    with pytest.raises(SourceError, match="half"):
        decode_picture(data[: len(data) // 2], "half")


def test_broken_pictures_of_a_folder_are_counted_and_named(tmp_path: Path, scene: PIL.Image.Image) -> None:
    for name in ("a2.png", "a10.png", "B1.jpg", "a1.png", "deep/a0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        scene.save(tmp_path / name)
    (tmp_path / "a2.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "notes.md").write_text("passed over")
    with read(tmp_path) as source:
        frames = list(source)
    assert [Path(f.source).name for f in frames] == ["a1.png", "a10.png", "B1.jpg", "a0.png"]
    assert [(f.index, f.time) for f in frames] == [(0, 0.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    assert (source.counts.decoded, source.counts.corrupt) == (4, 1)
    assert "a2.png" in source.notes[0]
    assert (source.info.kind, source.info.size_wh, source.info.frames_estimate) == ("pictures", (48, 32), 5)


def test_a_folder_in_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no pictures and no videos"):
        read(tmp_path)
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"a\.png"):
        list(read(tmp_path))


def test_natural_order() -> None:
    ordered = (
        ["A2.png", "a2b3.png", "a2b20.png", "a10.png", "b.png", "a/2.png", "a1/9.png", "a1/10.png", "z/1.png"]
    )
    names = sorted(ordered, reverse=True)
    assert [str(p) for p in sorted(map(Path, names), key=natural)] == ordered


def test_pictures_are_known_by_their_first_bytes(scene: PIL.Image.Image) -> None:
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF"):
        assert is_picture(saved(scene, kind)[:32]), kind
    for head in (b"\0\0\0 ftypisom", b"RIFF\0\0\0\0AVI LIST", b"\x1aE\xdf\xa3", b"YUV4MPEG2 W1", b"Text"):
        assert not is_picture(head.ljust(32)), head


BROKEN = {
    "broken.png", "broken_data_stream.png", "truncated_image.png", "truncated_jpeg.jpg", "zero_width.gif",
}                                                                                   # fmt: skip


@pytest.mark.realdata
def test_real_odd_pictures(data: Path) -> None:
    for path in sorted((data / "odd_images").iterdir()):
        if path.name.startswith("crash") or "bomb" in path.name:
            continue
        if path.name in BROKEN:
            with pytest.raises(SourceError, match=path.name):
                list(read(path))
            continue
        frame = next(read(path))
        with PIL.Image.open(path) as picture:
            upright = PIL.ImageOps.exif_transpose(picture)
            assert frame.size_wh == upright.size, path.name
            assert (frame.image.dtype, frame.image.shape[2]) == (np.uint8, 3)
            if picture.mode in ("RGB", "L", "P", "CMYK") and not picture.has_transparency_data:
                wanted = np.asarray(upright.convert("RGB"))
                assert np.abs(rgb(frame.image) - wanted).mean() < 1, path.name


@pytest.mark.realdata
def test_real_hopper_is_upright_whatever_its_orientation(data: Path) -> None:
    frames = list(read(str(data / "odd_images" / "hopper_orientation_*.jpg")))
    assert len(frames) == 7
    reference = cv2.GaussianBlur(frames[0].image, (9, 9), 0).astype(int)
    for frame in frames[1:]:
        assert np.abs(cv2.GaussianBlur(frame.image, (9, 9), 0) - reference).mean() < 2


@pytest.mark.realdata
def test_real_crashes_and_bombs_in_a_child(data: Path) -> None:
    folder = data / "odd_images"
    paths = [*folder.glob("crash*"), *folder.glob("*bomb*")]
    lines = in_child(*paths)
    assert len(lines) == len(paths) == 4
    for line in lines:
        assert line.startswith(("SourceError", "read"))
