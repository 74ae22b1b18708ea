"""The cluster's certificate authority and keys: made once at first start, renewed before they expire.

Elliptic-curve keys (P-256) throughout: all of a cluster's keys and certificates take a few milliseconds. Files are
written with mode 0600 and moved into place, so a crash leaves either the old file or the new one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from control.private_file import write_private_file

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
#: a certificate is replaced when less than this is left of it
RENEW_BEFORE = timedelta(days=30)
#: certificates start in the past, for clients whose clock is behind
BACKDATE = timedelta(hours=1)

ADMIN_NAME = "kubernetes-admin"
#: name of the files with the certificate and key of the API server as a client of the nodes
NODE_CLIENT_FILE = "apiserver-kubelet-client"
ADMIN_GROUPS = ("system:masters",)
API_SERVER_NAME = "kube-apiserver"
API_SERVER_CLIENT_NAME = "kube-apiserver-kubelet-client"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes


class CertificateAuthority:
    """Signs certificates with one CA key."""

    def __init__(self, pair: KeyPair) -> None:
        self.pair = pair
        self._certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
        key = serialization.load_pem_private_key(pair.key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("cannot use the CA key: it is not an elliptic-curve key")
        self._key = key

    @property
    def certificate_pem(self) -> bytes:
        """The CA's certificate, what clients trust."""
        return self.pair.certificate_pem

    def issue_client(self, common_name: str, organizations: Sequence[str] = (), *, now: datetime) -> KeyPair:
        """Issue a client certificate: the common name is the user, the organizations are its groups."""
        return self._issue(common_name, organizations, (), (ExtendedKeyUsageOID.CLIENT_AUTH,), now)

    def issue_serving(
        self, common_name: str, hosts: Iterable[str], organizations: Sequence[str] = (), *, now: datetime
    ) -> KeyPair:
        """Issue a serving certificate for DNS names and IP addresses."""
        return self._issue(common_name, organizations, tuple(hosts), (ExtendedKeyUsageOID.SERVER_AUTH,), now)

    def _issue(
        self,
        common_name: str,
        organizations: Sequence[str],
        hosts: Sequence[str],
        usages: Sequence[x509.ObjectIdentifier],
        now: datetime,
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(common_name, organizations), key, now, min(now + LEAF_LIFETIME, self._expiry()))
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(_general_names(hosts)), critical=False)
        return _to_pair(builder.sign(self._key, hashes.SHA256()), key)

    def _expiry(self) -> datetime:
        return self._certificate.not_valid_after_utc


def make_ca(common_name: str, *, now: datetime) -> KeyPair:
    """Make a self-signed CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name, ())
    builder = (
        _builder(name, key, now, now + CA_LIFETIME)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _to_pair(builder.sign(key, hashes.SHA256()), key)


def make_signing_key() -> bytes:
    """Make a P-256 key for signing tokens, PEM."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def _builder(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, expiry: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(expiry)
    )


def _name(common_name: str, organizations: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, item) for item in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _to_pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def is_expiring(certificate_pem: bytes, now: datetime) -> bool:
    """Whether a certificate should be replaced now."""
    return x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc - RENEW_BEFORE <= now


def covers_hosts(certificate_pem: bytes, hosts: Iterable[str]) -> bool:
    """Whether a serving certificate names all these hosts."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(_general_names(hosts)) <= set(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterKeys:
    """Everything secret or signed that the control plane uses. `directory` holds the same as files.

    `serving` is the API server's certificate, `admin` the administrator's client certificate, `node_client` the
    identity with which the API server calls the nodes, `token_key_pem` the key that signs ServiceAccount tokens.
    """

    directory: Path
    authority: CertificateAuthority
    serving: KeyPair
    admin: KeyPair
    node_client: KeyPair
    token_key_pem: bytes

    @property
    def ca_path(self) -> Path:
        """File of the CA certificate."""
        return self.directory / "ca.crt"

    @property
    def serving_certificate_path(self) -> Path:
        """File of the API server's certificate."""
        return self.directory / "apiserver.crt"

    @property
    def serving_key_path(self) -> Path:
        """File of the API server's key."""
        return self.directory / "apiserver.key"


def ensure_cluster_keys(directory: Path, hosts: Sequence[str], *, now: datetime) -> ClusterKeys:
    """Read the cluster's keys, making what is missing and replacing what expires or does not name all `hosts`."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca_pair = _read_pair(directory, "ca")
    if ca_pair is None:
        ca_pair = make_ca("kubernetes", now=now)
        _write_pair(directory, "ca", ca_pair)
    authority = CertificateAuthority(ca_pair)
    serving = _read_pair(directory, "apiserver")
    if serving is None or is_expiring(serving.certificate_pem, now) or not covers_hosts(serving.certificate_pem, hosts):
        serving = authority.issue_serving(API_SERVER_NAME, hosts, now=now)
        _write_pair(directory, "apiserver", serving)
    token_key_path = directory / "sa.key"
    if not token_key_path.exists():
        write_private_file(token_key_path, make_signing_key())
    return ClusterKeys(
        directory=directory,
        authority=authority,
        serving=serving,
        admin=ensure_client(directory, "admin", authority, ADMIN_NAME, ADMIN_GROUPS, now=now),
        node_client=ensure_client(
            directory, NODE_CLIENT_FILE, authority, API_SERVER_CLIENT_NAME, ADMIN_GROUPS, now=now
        ),
        token_key_pem=token_key_path.read_bytes(),
    )


def ensure_client(
    directory: Path,
    file_name: str,
    authority: CertificateAuthority,
    common_name: str,
    organizations: Sequence[str],
    *,
    now: datetime,
) -> KeyPair:
    """Read a client certificate `file_name`.crt/.key, issuing it when it is missing or expires."""
    pair = _read_pair(directory, file_name)
    if pair is None or is_expiring(pair.certificate_pem, now):
        pair = authority.issue_client(common_name, organizations, now=now)
        _write_pair(directory, file_name, pair)
    return pair


def _read_pair(directory: Path, name: str) -> KeyPair | None:
    try:
        return KeyPair((directory / f"{name}.crt").read_bytes(), (directory / f"{name}.key").read_bytes())
    except FileNotFoundError:
        return None


def _write_pair(directory: Path, name: str, pair: KeyPair) -> None:
    # The key first: a certificate without its key would look complete to nobody, a key without certificate is remade.
    write_private_file(directory / f"{name}.key", pair.key_pem)
    write_private_file(directory / f"{name}.crt", pair.certificate_pem)
