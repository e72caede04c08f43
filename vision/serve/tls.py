"""A certificate of one's own, so that a browser gives a page the camera over a network."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vision.files import write_whole
from vision.weights import cache_dir

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

_DAYS = 397                                              # the longest that browsers take
_AHEAD = datetime.timedelta(days=7)                      # a certificate that ends sooner is made anew


def certificate(host: str = "127.0.0.1", folder: Path | None = None) -> tuple[Path, Path]:
    """The files of a certificate and its key, for this machine's names and addresses: made once, and kept.

    host: a further name or address that it is for. folder: where; the user's cache unless given.
    """
    folder = folder or cache_dir() / "tls"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = folder / "certificate.pem", folder / "key.pem"
    names = _names(host)
    if not _is_good(files[0], names) or not files[1].is_file():
        _make(files, names)
    return files


def _names(host: str) -> list[str]:
    """What this machine is called, and its addresses."""
    own = socket.gethostname()
    found = {"localhost", "127.0.0.1", "::1", own, f"{own.partition('.')[0]}.local"}
    with suppress(OSError):
        found |= {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(own, None)}
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way_out:
        way_out.connect(("192.0.2.1", 9))                # a documentation address: nothing is sent
        found.add(way_out.getsockname()[0])
    if host not in ("0.0.0.0", "::", ""):
        found.add(host)
    return sorted(found)


def _is_good(file: Path, names: list[str]) -> bool:
    """Whether a certificate is there, holds for a while, and for these names."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(file.read_bytes())
        told = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    known = {str(one.value) for one in told}
    return set(names) <= known and found.not_valid_after_utc - _AHEAD > datetime.datetime.now(datetime.UTC)


def _make(files: tuple[Path, Path], names: list[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vision on this machine")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    files[1].unlink(missing_ok=True)
    with os.fdopen(os.open(files[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(secret)
    write_whole(files[0], made.public_bytes(serialization.Encoding.PEM))


def _general(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
