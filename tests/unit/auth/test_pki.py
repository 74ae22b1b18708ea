from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from control.auth import pki
from control.auth.authenticator import read_certificate

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOSTS = ("localhost", "127.0.0.1", "kubernetes.default.svc", "::1")


def to_der(pair: pki.KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode())


def test_keys_are_made_once_and_stay(tmp_path: Path) -> None:
    first = pki.ensure_cluster_keys(tmp_path / "pki", HOSTS, now=NOW)
    again = pki.ensure_cluster_keys(tmp_path / "pki", HOSTS, now=NOW + timedelta(days=100))
    assert first.authority.pair == again.authority.pair
    assert (first.serving, first.admin, first.node_client) == (again.serving, again.admin, again.node_client)
    assert first.token_key_pem == again.token_key_pem


def test_files_are_private_and_complete(tmp_path: Path) -> None:
    keys = pki.ensure_cluster_keys(tmp_path / "pki", HOSTS, now=NOW)
    files = sorted(path.name for path in (tmp_path / "pki").iterdir())
    assert files == [
        "admin.crt",
        "admin.key",
        "apiserver-kubelet-client.crt",
        "apiserver-kubelet-client.key",
        "apiserver.crt",
        "apiserver.key",
        "ca.crt",
        "ca.key",
        "sa.key",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").iterdir()} == {0o600}
    assert keys.ca_path.read_bytes() == keys.authority.certificate_pem
    assert keys.serving_certificate_path.read_bytes() == keys.serving.certificate_pem
    assert keys.serving_key_path.read_bytes() == keys.serving.key_pem


def test_leaves_are_renewed_before_they_expire_and_the_ca_is_not(tmp_path: Path) -> None:
    first = pki.ensure_cluster_keys(tmp_path, HOSTS, now=NOW)
    later = pki.ensure_cluster_keys(tmp_path, HOSTS, now=NOW + timedelta(days=340))
    assert first.authority.pair == later.authority.pair
    assert first.serving != later.serving
    assert first.admin != later.admin


def test_a_new_host_renews_the_serving_certificate(tmp_path: Path) -> None:
    first = pki.ensure_cluster_keys(tmp_path, HOSTS, now=NOW)
    later = pki.ensure_cluster_keys(tmp_path, (*HOSTS, "10.96.0.1"), now=NOW)
    assert first.serving != later.serving
    assert pki.covers_hosts(later.serving.certificate_pem, ["10.96.0.1", "localhost"])
    assert not pki.covers_hosts(later.serving.certificate_pem, ["10.96.0.2"])


def test_a_certificate_without_its_key_is_made_anew(tmp_path: Path) -> None:
    first = pki.ensure_cluster_keys(tmp_path, HOSTS, now=NOW)
    (tmp_path / "admin.key").unlink()
    assert pki.ensure_cluster_keys(tmp_path, HOSTS, now=NOW).admin != first.admin


def test_client_certificate_names_user_and_groups() -> None:
    authority = pki.CertificateAuthority(pki.make_ca("kubernetes", now=NOW))
    pair = authority.issue_client("system:node:n1", ("system:nodes",), now=NOW)
    user, expires = read_certificate(to_der(pair))
    assert (user.name, user.groups) == ("system:node:n1", ("system:nodes", "system:authenticated"))
    assert expires == NOW + pki.LEAF_LIFETIME


def test_leaves_are_signed_by_the_ca_and_outlive_it_never() -> None:
    ca_pair = pki.make_ca("kubernetes", now=NOW)
    late = NOW + pki.CA_LIFETIME - timedelta(days=10)
    pair = pki.CertificateAuthority(ca_pair).issue_serving("x", ["localhost"], now=late)
    ca, leaf = (x509.load_pem_x509_certificate(item.certificate_pem) for item in (ca_pair, pair))
    leaf.verify_directly_issued_by(ca)
    assert leaf.not_valid_after_utc == ca.not_valid_after_utc


def test_openssl_accepts_server_and_client() -> None:
    now = datetime.now(UTC)
    authority = pki.CertificateAuthority(pki.make_ca("kubernetes", now=now))
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server_side.verify_mode = ssl.CERT_REQUIRED
    for context in (server_side, client_side):
        context.load_verify_locations(cadata=authority.certificate_pem.decode())
    load(server_side, authority.issue_serving("kube-apiserver", ["localhost"], now=now))
    load(client_side, authority.issue_client("me", now=now))
    assert handshake(server_side, client_side) is not None


def load(context: ssl.SSLContext, pair: pki.KeyPair) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(pair.certificate_pem + pair.key_pem)
        file.flush()
        context.load_cert_chain(file.name)


def handshake(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> bytes | None:
    """Run a TLS handshake in memory; returns the certificate the server saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname="localhost")
    waiting = [client, server]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    return server.getpeercert(binary_form=True)
