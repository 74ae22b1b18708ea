"""The node API's certificate where none was given: signed by itself and kept in the node's directory, as a kubelet
without one does. API servers that verify nodes refuse it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from control.private_file import write_private_file

LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
#: for clients whose clock is behind
BACKDATE = timedelta(hours=1)


def ensure_serving_certificate(directory: Path, node_name: str, addresses: Sequence[str], now: datetime) -> Path:
    """Make the pair, or renew one that expires or names other addresses. Returns the file that holds both, PEM."""
    path = directory / "kubelet-server-current.pem"
    names = _names(node_name, addresses)
    if not _is_fit(path, names, now):
        write_private_file(path, _make_pair(node_name, names, now))
    return path


def _is_fit(path: Path, names: list[x509.GeneralName], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return False
    return certificate.not_valid_after_utc - RENEW_BEFORE > now and set(names) <= set(known)


def _names(node_name: str, addresses: Sequence[str]) -> list[x509.GeneralName]:
    numbers = [x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys((*addresses, "127.0.0.1"))]
    return [x509.DNSName(node_name), x509.DNSName("localhost"), *numbers]


def _make_pair(node_name: str, names: list[x509.GeneralName], now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node_name}"[:64]),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
