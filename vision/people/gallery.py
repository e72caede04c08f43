"""A gallery: people's names, each with the vectors of a few pictures, and nothing else of them.

As a file it is safetensors with `vectors` and, as bytes of JSON, `about`; with a pass phrase all of that is encrypted
(AES-256-GCM, the key by scrypt) behind a line that says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vision.errors import DataError, MissingExtra, UsageError, VisionError
from vision.files import write_whole
from vision.people.identities import STRANGER
from vision.people.identity import Layout, distances
from vision.types import Floats, Ints

_SEALED = b"vision gallery, encrypted 1\n"
_SALT, _NONCE = 16, 12
_MAX_BYTES = 1 << 28
_SCRYPT = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 1 << 26}
PASSPHRASE = "VISION_PASSPHRASE"                # in the environment


class Match(NamedTuple):
    """Whom faces are nearest to.

    people: (N,) int64, the number of the nearest person of the gallery, whether near enough or not; -1 where the
        gallery is empty. distances: (N,) float32, to them; inf where it is empty.
    """

    people: Ints
    distances: Floats


class Gallery:
    """People by name. model: the network whose vectors it holds; only those of one network can be compared.

    `people` maps a name to vectors (M,D), a picture each, in the order in which they were added.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.people: dict[str, Floats] = {}

    def __len__(self) -> int:
        return len(self.people)

    @property
    def names(self) -> tuple[str, ...]:
        """The people's names."""
        return tuple(self.people)

    def add(self, name: str, vectors: Floats) -> None:
        """Take in a person. name: theirs, which nobody else has (upper and lower case are one). vectors: (M,D), at
        least one. Raises DataError for a name that is taken, that is of strangers or that is no text, UsageError for no
        name or vectors of another length."""
        name = proper(name)
        taken = {_plain(other): other for other in self.people}.get(_plain(name))
        if taken is not None:
            raise DataError(f"two people of one name: {taken!r} and {name!r}. Give one of them another.")
        vectors = np.asarray(vectors, np.float32)
        before = next(iter(self.people.values()), vectors)
        if not name or vectors.ndim != 2 or not len(vectors) or vectors.shape[1] != before.shape[1]:
            wanted = f"vectors (M,{before.shape[-1]})"
            raise UsageError(f"a person has a name and {wanted}; got {name!r} and {vectors.shape}.")
        if not np.isfinite(vectors).all():
            raise UsageError(f"the vectors of {name!r} are not all finite numbers.")
        self.people[name] = vectors

    def nearest(self, vectors: Floats) -> Match:
        """Who is nearest to each of the vectors (N,D): a person is the mean of their pictures. Raises UsageError for
        vectors of another length."""
        if not self.people or not len(vectors):
            return Match(np.full(len(vectors), -1), np.full(len(vectors), np.inf, np.float32))
        size = next(iter(self.people.values())).shape[1]
        if vectors.shape[1] != size:
            raise UsageError(f"the gallery is of another network: its vectors have {size} numbers, and these "
                             f"{vectors.shape[1]}.")
        apart = distances(vectors, np.stack([of_one.mean(axis=0) for of_one in self.people.values()]))
        who = apart.argmin(axis=1)
        return Match(who, apart[np.arange(len(vectors)), who])

    def odd(self, layout: Layout) -> list[tuple[str, int, float]]:
        """Pictures that may show somebody else: name, number of the picture, and distance to the middle of the person's
        others, where that is beyond what two pictures of one person usually have."""
        found = []
        for name, vectors in self.people.items():
            for i in range(len(vectors) if len(vectors) > 2 else 0):
                others = np.median(np.delete(vectors, i, axis=0), axis=0)
                apart = float(np.linalg.norm(vectors[i] - others))
                if apart > layout.middle:
                    found.append((name, i, apart))
        return found

    def save(self, path: Path, passphrase: str = "") -> None:
        """Write the gallery as one file. passphrase: encrypts it; empty: in the clear. Raises MissingExtra
        without the extra `gallery`, SinkError where the file cannot be written."""
        from safetensors.numpy import save

        counts = {name: len(vectors) for name, vectors in self.people.items()}
        about = json.dumps({"version": 1, "model": self.model, "people": counts}, ensure_ascii=False)
        vectors = np.concatenate([*self.people.values()]) if self.people else np.zeros((0, 0), np.float32)
        data = save({"vectors": vectors, "about": np.frombuffer(about.encode(), np.uint8)})
        write_whole(path, _sealed(data, passphrase) if passphrase else data)

    @classmethod
    def load(cls, path: Path, passphrase: str | None = None) -> Gallery:
        """Read what `save` wrote. passphrase: what the file was encrypted with; None: `$VISION_PASSPHRASE`. Raises
        DataError for another file, and for a wrong pass phrase."""
        try:
            size = path.stat().st_size
            data = path.read_bytes() if size <= _MAX_BYTES else b""
        except OSError as error:
            raise DataError(f"the gallery {str(path)!r} cannot be read ({error.strerror}).") from error
        if size > _MAX_BYTES:
            raise DataError(f"{str(path)!r} is no gallery: it has {size} bytes, and at most {_MAX_BYTES} are read.")
        if data.startswith(_SEALED):
            passphrase = os.environ.get(PASSPHRASE, "") if passphrase is None else passphrase
            data = _opened(data, passphrase, path)
        try:
            return _gallery(data)
        except VisionError:
            raise
        except Exception as error:                       # whatever somebody else's bytes lead to
            raise DataError(f"{str(path)!r} is no gallery ({type(error).__name__}: {error!s:.80}). Make one: vision "
                            "gallery enrol PEOPLE/ -o FILE") from error


def proper(name: str) -> str:
    """A name as galleries have it: composed (NFC), without spaces around it. Raises DataError for one that is of
    strangers, and for one that is no text, as of a folder whose name is not UTF-8."""
    name = unicodedata.normalize("NFC", name).strip()
    if _plain(name) == STRANGER:
        raise DataError(f"{name!r} is what strangers are called. Give the person another name.")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the name {name!r} is not UTF-8. Give the person another name.") from error
    return name


def encrypted(path: Path) -> bool:
    """Whether a file is a gallery that needs a pass phrase."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SEALED)) == _SEALED
    except OSError:
        return False


def _gallery(data: bytes) -> Gallery:
    from safetensors.numpy import load

    tensors = load(data)
    about: Any = json.loads(tensors["about"].tobytes())
    vectors = tensors["vectors"]
    if not isinstance(about, Mapping) or about.get("version") != 1 or vectors.dtype != np.float32:
        raise DataError("a gallery of another version. Update vision, or enrol again.")
    counts: Any = about["people"]
    if not isinstance(counts, Mapping) or sum(counts.values()) != len(vectors) or min(counts.values(), default=1) < 1:
        raise ValueError("its people do not fit its vectors")
    made, at = Gallery(str(about["model"])), 0
    for name, count in counts.items():
        made.add(name, vectors[at : at + count])
        at += count
    return made


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _cipher(passphrase: str, salt: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise MissingExtra("cryptography", "gallery", "a gallery with a pass phrase") from error
    return AESGCM(hashlib.scrypt(passphrase.encode(), salt=salt, dklen=32, **_SCRYPT))


def _sealed(data: bytes, passphrase: str) -> bytes:
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    return _SEALED + salt + nonce + bytes(_cipher(passphrase, salt).encrypt(nonce, data, _SEALED))


def _opened(data: bytes, passphrase: str, path: Path) -> bytes:
    if not passphrase:
        raise DataError(f"{str(path)!r} is encrypted. Put its pass phrase into the environment: {PASSPHRASE}")
    salt, rest = data[len(_SEALED) :][:_SALT], data[len(_SEALED) + _SALT :]
    cipher = _cipher(passphrase, salt)
    try:
        return bytes(cipher.decrypt(rest[:_NONCE], rest[_NONCE:], _SEALED))
    except Exception as error:                           # InvalidTag; ValueError of a file that is cut off
        why = "the pass phrase is another, or the file is damaged"
        raise DataError(f"{str(path)!r} cannot be decrypted: {why}.") from error
