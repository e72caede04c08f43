"""README's picture of the page: the real one, in a real browser, on the frames of `vision sample`.

    python tools/make_webcam_picture.py docs/img/webcam.png

Needs chromium (`make system`), and playwright (the extra `dev`).
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from webcam import browsing, film, server, until

from vision.sample import make_sample

FIRST, LAST = 60, 96                                     # frames of a street with people, cars and a bicycle


def main(target: Path) -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "sample.mp4"
        make_sample(clip)
        camera = film(clip, Path(folder) / "camera.mjpeg", None, FIRST, LAST)
        with server("track") as address, browsing(camera, viewport={"width": 1180, "height": 560}) as page:
            page.goto(address)
            until(page, "document.body.dataset.first")
            page.click("#mirror")
            page.wait_for_timeout(9000)
            until(page, "document.querySelectorAll('#seen b').length > 2 && "
                        "[...document.querySelectorAll('#seen b')].filter((one) => one.textContent !== '0').length > 1")
            page.evaluate("document.querySelector('#source').selectedOptions[0].textContent = 'Camera'")     # no path
            shot = page.screenshot()
    picture = Image.open(BytesIO(shot)).convert("RGB")
    picture = picture.point(lambda value: min(255, (value + 3) // 6 * 6))    # fewer shades: a third of the file
    picture.save(target, optimize=True)
    print(f"{target}: {picture.size[0]}x{picture.size[1]}, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/img/webcam.png"))
