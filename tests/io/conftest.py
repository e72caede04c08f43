"""A fixture that makes small videos."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from numbered import SIZE_WH, MakeVideo, add_sound, numbered


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Write numbered frames at the given times; returns the path."""

    def make(
        name: str = "clip.mp4",
        times: Sequence[float] = tuple(i / 10 for i in range(30)),
        *,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        pix_fmt: str = "yuv420p",
        container_options: dict[str, str] | None = None,
        rotation: int = 0,
        sound: str | None = None,
        size_wh: tuple[int, int] = SIZE_WH,
        tick: Fraction = Fraction(1, 1000),
    ) -> Path:
        path = tmp_path / name
        with av.open(f"file:{path}", "w", options=container_options or {}) as out:
            stream: Any = out.add_stream(codec, rate=round(1 / tick), options=options or {})
            stream.width, stream.height, stream.pix_fmt = *size_wh, pix_fmt
            stream.codec_context.time_base = tick
            if rotation:
                stream.set_display_rotation(rotation)
            track: Any = out.add_stream(sound, rate=48_000) if sound else None
            for index, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(numbered(index, size_wh), "bgr24").reformat(format=pix_fmt)
                frame.pts, frame.time_base = round(time / tick), tick
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
            if track is not None:
                add_sound(out, track, times[-1])
        return path

    return make
