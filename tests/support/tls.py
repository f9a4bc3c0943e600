"""A certificate for `localhost` that is made for one test run."""

import datetime
import ssl
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@lru_cache
def _folder() -> TemporaryDirectory[str]:
    folder = TemporaryDirectory()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    path = Path(folder.name)
    (path / "key.pem").write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, no_password)
    )
    (path / "certificate.pem").write_bytes(certificate.public_bytes(encoding))
    return folder


def server_options() -> dict[str, str]:
    """Return the settings of uvicorn's with which it speaks TLS."""
    return {"ssl_keyfile": f"{_folder().name}/key.pem", "ssl_certfile": f"{_folder().name}/certificate.pem"}


def client_context() -> ssl.SSLContext:
    """Return what a client needs to trust it."""
    return ssl.create_default_context(cafile=f"{_folder().name}/certificate.pem")
