"""A certificate of one's own, so that a browser gives a page the camera over a network."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import IO, TYPE_CHECKING

from vision.errors import UsageError
from vision.files import own, write_whole
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
    with _alone(folder / "lock"):                        # another server may start at the same time
        if not _is_good(files, names):
            _make(files, names)
    return files


def checked(files: tuple[Path, Path]) -> tuple[Path, Path]:
    """The files of a certificate and its key, which fit together. Raises UsageError."""
    for file in files:
        if not file.is_file():
            raise UsageError(f"{str(file)!r} is not there: --cert is a certificate and --cert-key its key, as PEM.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files, password=lambda: "")
    except (OSError, ValueError) as error:               # an encrypted key is not asked about at every start
        why = getattr(error, "reason", None) or error
        raise UsageError(f"{str(files[0])!r} and {str(files[1])!r} are no certificate and its key, as PEM and without "
                         f"a pass phrase ({why}).") from error
    return files


def _alone(file: Path) -> IO[bytes]:
    """A file that nobody else has until it is closed."""
    while True:
        try:
            return own(file)
        except BlockingIOError:
            sleep(0.02)


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


def _is_good(files: tuple[Path, Path], names: list[str]) -> bool:
    """Whether a certificate is there with its key, holds for a while, and for these names."""
    from cryptography import x509

    try:
        checked(files)
        found = x509.load_pem_x509_certificate(files[0].read_bytes())
        told = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):          # UsageError is a ValueError
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
    with tempfile.NamedTemporaryFile(dir=files[1].parent, delete=False) as file:       # for its owner alone
        file.write(secret)
    os.replace(file.name, files[1])
    write_whole(files[0], made.public_bytes(serialization.Encoding.PEM))


def _general(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
