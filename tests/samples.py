"""One valid object of every kind that is stored: what tests of clients create, read and describe."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_FILE = Path(__file__).with_suffix(".yaml")


def sample_objects(name: str, namespace: str) -> list[dict[str, Any]]:
    """The samples, named after `name` (a DNS label); what refers to a namespace refers to `namespace`."""
    text = _FILE.read_text().replace("NAMESPACE", namespace).replace("NAME", name)
    return list(yaml.safe_load_all(text.replace("REQUEST", signing_request(name))))


def signing_request(common_name: str) -> str:
    """A certificate signing request with a new key, as a CertificateSigningRequest's `spec.request` wants it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()
