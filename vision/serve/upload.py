"""What a request carries: one picture or several, or a video, with options."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from vision.errors import plain
from vision.serve.answers import Refusal
from vision.serve.limits import Limits
from vision.serve.safety import media_type

_LONGEST_NAME = 120
_LARGEST_FIELD = 64 << 10
_VIDEO_HEADS = (                                         # where a container's mark stands, and which suffix it gets
    (4, b"ftyp", ".mp4"), (0, b"\x1aE\xdf\xa3", ".mkv"), (0, b"OggS", ".ogv"), (0, b"FLV", ".flv"),
    (0, b"G", ".ts"), (0, b"\0\0\1\xba", ".mpg"), (0, b"\0\0\1\xb3", ".mpg"), (8, b"AVI ", ".avi"),
)
Named = tuple[str, bytes]
_QUERY = ("options", "rate", "token")


@dataclass
class Upload:
    """What came. pictures: name and bytes of each. video: name and a file that its taker removes; None for none.
    options: as the client wrote them. rate: pictures a second, for tasks that need their times."""

    pictures: list[Named] = field(default_factory=list)
    video: tuple[str, Path] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    rate: float = 25.0


async def received(request: Request, limits: Limits, folder: Path) -> Upload:
    """A request's upload: a body that is a picture or a video, or a form of several pictures, with `options` as JSON
    in the form or in the query. folder: where a video goes. Raises Refusal."""
    for name in request.query_params:
        if name not in _QUERY:
            raise Refusal(422, "query", f"the query has {', '.join(_QUERY)}; got {name[:60]!r}. A task's options go "
                          'into `options`, as JSON such as {"min_score": 0.4}.')
    upload = Upload(options=_options(request.query_params.get("options")), rate=_rate(request.query_params.get("rate")))
    try:
        await _take(request, upload, limits, folder)
    except BaseException as error:
        if upload.video is not None:                     # nobody takes it
            upload.video[1].unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Refusal(503, "full", "there is no room for it now. Try again later.") from error
        raise
    return upload


async def _take(request: Request, upload: Upload, limits: Limits, folder: Path) -> None:
    """The body of a request."""
    kind = media_type(request.headers)
    if kind == "multipart/form-data":
        try:
            async with request.form(max_files=limits.max_pictures, max_fields=8, max_part_size=_LARGEST_FIELD) as form:
                await _read(form, upload, limits, folder)
        except HTTPException as error:
            raise Refusal(400, "form", f"the form cannot be read: {error.detail}") from None
    elif kind.startswith("image/"):
        upload.pictures.append(("picture", await request.body()))
    elif kind.startswith("video/") or kind == "application/octet-stream":
        upload.video = "video", await _kept(request.stream(), folder)
    else:
        raise Refusal(415, "kind", "the body is a picture (image/jpeg, image/png, image/webp), a video (video/mp4), or "
                      f"multipart/form-data with several; got {kind[:60] or 'no Content-Type'!r}.")
    if not upload.pictures and upload.video is None:
        raise Refusal(422, "empty", "there is no picture and no video in the request.")
    if upload.pictures and upload.video is not None:
        raise Refusal(422, "both", "a request has pictures or a video. Send the video by itself.")


async def _read(form: FormData, upload: Upload, limits: Limits, folder: Path) -> None:
    """The parts of a form."""
    size = 0
    for name, part in form.multi_items():
        if isinstance(part, UploadFile):
            called = _called(part.filename)
            if media_type({"content-type": part.content_type or ""}).startswith("video/"):
                if upload.video is not None:
                    raise Refusal(422, "several_videos", "a request has one video. Send each by itself.")
                upload.video = called or "video", await _kept(_chunks(part), folder)
                continue
            size += part.size or 0
            if size > limits.max_body:
                raise Refusal(413, "body", f"pictures have at most {limits.max_body} bytes together.")
            upload.pictures.append((called or f"picture {len(upload.pictures)}", await part.read()))
        elif name == "options":
            upload.options = _options(part)
        elif name == "rate":
            upload.rate = _rate(part)
        else:
            raise Refusal(422, "field", f"a form has pictures, `options` and `rate`; got {name[:60]!r}.")


def _options(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        raise Refusal(422, "usage", f'options are JSON such as {{"min_score": 0.4}}; got {text[:80]!r}.')
    return options


def _rate(text: str | None) -> float:
    try:
        rate = float(25.0 if text is None else text)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 1000:
        raise Refusal(422, "usage", f"rate is pictures a second, 0.001 to 1000; got {str(text)[:40]!r}.")
    return rate


def _called(name: str | None) -> str:
    """A file's own name, without folders, as it may be shown."""
    return plain(PurePosixPath((name or "").replace("\\", "/")).name)[:_LONGEST_NAME]


async def _chunks(part: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await part.read(1 << 20):
        yield chunk


async def _kept(chunks: AsyncIterator[bytes], folder: Path) -> Path:
    """The bytes in a file of a name of our own. Raises Refusal for what does not begin as a video does."""
    path: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-", delete=False) as file:
            path = Path(file.name)
            async for chunk in chunks:
                file.write(chunk)
        with path.open("rb") as file:
            head = file.read(16)
        suffix = next((end for at, mark, end in _VIDEO_HEADS if head[at:at + len(mark)] == mark), None)
        if suffix is None:
            raise Refusal(422, "bad_video", "a video is an MP4, MOV, MKV, WebM, AVI, OGG, FLV, MPEG or TS file; got "
                          f"{path.stat().st_size} bytes of something else.")
        return path.rename(path.with_suffix(suffix))
    except BaseException:
        if path is not None:
            path.unlink(missing_ok=True)
        raise
