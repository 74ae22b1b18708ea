from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from control.api.builtin_kinds import PODS, SECRETS, SERVICE_ACCOUNTS
from control.auth.pki import make_signing_key
from control.auth.tokens import (
    DEFAULT_ISSUER,
    BoundObject,
    SigningKey,
    TokenError,
    TokenIssuer,
    TokenSubject,
    TokenVerifier,
    discovery_document,
    key_set_document,
)
from tests.unit.auth.reader import ListReader

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EC_KEY = SigningKey(make_signing_key())
RSA_KEY = SigningKey(
    rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
)


class Setting:
    def __init__(self, key: SigningKey = EC_KEY) -> None:
        self.reader = ListReader()
        self.account = self.reader.add(SERVICE_ACCOUNTS, "robot", "ns")
        self.pod = self.reader.add(PODS, "pod", "ns", spec={})
        self.issuer = TokenIssuer(key)
        self.verifier = TokenVerifier([key.public], self.reader)

    def issue(self, *, bound: BoundObject | None = None, seconds: int = 600, **fields: Any) -> str:
        subject = TokenSubject(
            namespace="ns", name="robot", uid="serviceaccounts-robot", bound=bound, **fields.pop("node", {})
        )
        options = {"audiences": [DEFAULT_ISSUER], "token_id": "id-1", "now": NOW, **fields}
        return self.issuer.issue(subject, expiration_seconds=seconds, **options)

    def verify(self, token: str, seconds: float = 0, **options: Any) -> Any:
        return self.verifier.verify(token, now=NOW + timedelta(seconds=seconds), **options)


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


@pytest.mark.parametrize("key", [EC_KEY, RSA_KEY], ids=["ES256", "RS256"])
def test_an_issued_token_speaks_for_its_account(key: SigningKey) -> None:
    setting = Setting(key)
    user = setting.verify(setting.issue()).user
    assert user.name == "system:serviceaccount:ns:robot"
    assert user.uid == "serviceaccounts-robot"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert user.extra == {"authentication.kubernetes.io/credential-id": ("JTI=id-1",)}


def test_claims_are_upstreams() -> None:
    setting = Setting()
    token = setting.issue(bound=BoundObject("Pod", "pod", "pods-pod"), node={"node_name": "n1", "node_uid": "u1"})
    issued = int(NOW.timestamp())
    assert claims_of(token) == {
        "aud": [DEFAULT_ISSUER],
        "exp": issued + 600,
        "iat": issued,
        "iss": DEFAULT_ISSUER,
        "jti": "id-1",
        "kubernetes.io": {
            "namespace": "ns",
            "node": {"name": "n1", "uid": "u1"},
            "pod": {"name": "pod", "uid": "pods-pod"},
            "serviceaccount": {"name": "robot", "uid": "serviceaccounts-robot"},
        },
        "nbf": issued,
        "sub": "system:serviceaccount:ns:robot",
    }
    assert setting.verify(token).user.extra["authentication.kubernetes.io/pod-name"] == ("pod",)
    assert setting.verify(token).user.extra["authentication.kubernetes.io/node-name"] == ("n1",)


def test_the_usual_token_of_a_pod_lives_on_for_a_year() -> None:
    setting = Setting()
    claims = claims_of(setting.issue(bound=BoundObject("Pod", "pod", "pods-pod"), seconds=3607))
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
    assert claims_of(setting.issue(seconds=3607))["exp"] - claims["iat"] == 3607


def test_expired_and_early_tokens_prove_nothing() -> None:
    setting = Setting()
    token = setting.issue()
    setting.verify(token, 599)
    with pytest.raises(TokenError, match="expired"):
        setting.verify(token, 600)
    with pytest.raises(TokenError, match="not valid yet"):
        setting.verify(token, -61)


def test_a_token_ends_with_its_account_and_its_pod() -> None:
    setting = Setting()
    token = setting.issue(bound=BoundObject("Pod", "pod", "pods-pod"))
    setting.verify(token)
    setting.pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    setting.verify(token, 60)
    with pytest.raises(TokenError, match="pod has been deleted"):
        setting.verify(token, 61)
    setting.pod["metadata"]["uid"] = "another"
    with pytest.raises(TokenError, match="pod does not exist"):
        setting.verify(token)
    setting.reader.objects.clear()
    with pytest.raises(TokenError, match="service account does not exist"):
        setting.verify(token)


def test_audiences_must_meet() -> None:
    setting = Setting()
    token = setting.issue(audiences=["vault"])
    with pytest.raises(TokenError, match="another audience"):
        setting.verify(token)
    assert setting.verify(token, audiences=["x", "vault"]).audiences == ("vault",)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_token_proves_nothing(part: int) -> None:
    setting = Setting()
    parts = setting.issue().split(".")
    other = Setting(SigningKey(make_signing_key())).issue(seconds=700).split(".")
    parts[part] = other[part]
    if part != 0:  # a foreign key id alone only means that every key is tried
        with pytest.raises(TokenError):
            setting.verify(".".join(parts))
    with pytest.raises(TokenError):
        setting.verify(".".join(other))


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "e30.e30.", "e30.W10.x", "é.é.é"])
def test_texts_that_are_no_tokens_prove_nothing(token: str) -> None:
    with pytest.raises(TokenError):
        Setting().verify(token)


def test_a_token_without_signature_is_refused() -> None:
    setting = Setting()
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    with pytest.raises(TokenError, match="not signed"):
        setting.verify(f"{header}.{setting.issue().split('.')[1]}.")


def test_legacy_tokens_hold_as_long_as_their_secret_has_them() -> None:
    setting = Setting()
    token = setting.issuer.issue_legacy(
        namespace="ns", name="robot", uid="serviceaccounts-robot", secret_name="robot-token"
    )
    with pytest.raises(TokenError, match="secret"):
        setting.verify(token)
    data = {"token": base64.b64encode(token.encode()).decode()}
    setting.reader.add(SECRETS, "robot-token", "ns", data=data)
    assert setting.verify(token).user.name == "system:serviceaccount:ns:robot"
    setting.account["metadata"]["uid"] = "new"
    with pytest.raises(TokenError, match="service account"):
        setting.verify(token)


def test_published_documents() -> None:
    keys = [EC_KEY.public, RSA_KEY.public]
    document = discovery_document(DEFAULT_ISSUER, keys, jwks_uri="https://x/openid/v1/jwks")
    assert document["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]
    elliptic, rsa_key = key_set_document(keys)["keys"]
    assert (elliptic["kty"], elliptic["crv"], elliptic["kid"]) == ("EC", "P-256", EC_KEY.public.key_id)
    assert (rsa_key["kty"], rsa_key["e"]) == ("RSA", "AQAB")
