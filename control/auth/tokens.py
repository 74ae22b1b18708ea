"""ServiceAccount tokens: signed JSON Web Tokens with upstream's claims, and the documents that let others verify them.

ES256 and RS256 are the two algorithms of a cluster's signing keys; which one follows from the key. A token says whom
it speaks for and what it is bound to; whether those objects still exist is asked of the caller's reader every time.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from control.api.builtin_kinds import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from control.api.exchange import User
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import parse_time
from control.auth.attributes import AUTHENTICATED_GROUP, ObjectReader, service_account_groups, service_account_name

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
LEGACY_ISSUER = "kubernetes/serviceaccount"
#: tokens with this lifetime, the one Pods get, live on for a year but are counted as stale (upstream's extension)
WARN_ONLY_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
#: a bound object may be marked for deletion this long before its tokens stop working
DELETION_LEEWAY = timedelta(seconds=60)
JWKS_PATH = "/openid/v1/jwks"

_COORDINATE_BYTES = 32
_CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"
_NODE_NAME = "authentication.kubernetes.io/node-name"
_NODE_UID = "authentication.kubernetes.io/node-uid"


class TokenError(Exception):
    """A token that proves nothing; the message says why, for the log, never for the client."""


@dataclass(frozen=True, slots=True)
class BoundObject:
    """What a token is bound to besides its ServiceAccount: a Pod, Secret or Node."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSubject:
    """Whom a token is issued to. `node_name` and `node_uid` are those of a bound Pod's node."""

    namespace: str
    name: str
    uid: str
    bound: BoundObject | None = None
    node_name: str = ""
    node_uid: str = ""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature and times hold, for these audiences."""

    user: User
    audiences: tuple[str, ...]
    expires: datetime | None
    claims: Mapping[str, Any] = field(default_factory=dict)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise TokenError("a part of the token is not base64url") from None


def _decode_json(text: str) -> Object:
    try:
        value = json.loads(_decode(text))
    except ValueError:
        raise TokenError("a part of the token is not JSON") from None
    if not isinstance(value, dict):
        raise TokenError("a part of the token is not an object")
    return value


class SigningKey:
    """A private key that signs tokens, with the key id that its public part has in the key set."""

    def __init__(self, key_pem: bytes) -> None:
        key = serialization.load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("cannot sign tokens: the key is neither elliptic-curve nor RSA")
        self._key = key
        self.public = VerificationKey(key.public_key())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the compact serialization of a token with these claims."""
        header = {"alg": self.public.algorithm, "kid": self.public.key_id}
        signed = ".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        content = signed.encode()
        if isinstance(self._key, rsa.RSAPrivateKey):
            signature = self._key.sign(content, padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = utils.decode_dss_signature(self._key.sign(content, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        return f"{signed}.{_encode(signature)}"


class VerificationKey:
    """A public key that verifies tokens."""

    def __init__(self, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> None:
        self._key = key
        self.algorithm = "RS256" if isinstance(key, rsa.RSAPublicKey) else "ES256"
        encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = _encode(hashlib.sha256(encoded).digest())

    def is_signature(self, signature: bytes, content: bytes) -> bool:
        """Whether the signature is this key's."""
        try:
            if isinstance(self._key, rsa.RSAPublicKey):
                self._key.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
                return True
            if len(signature) != 2 * _COORDINATE_BYTES:
                return False
            r, s = (int.from_bytes(signature[start : start + _COORDINATE_BYTES], "big") for start in (0, 32))
            self._key.verify(utils.encode_dss_signature(r, s), content, ec.ECDSA(hashes.SHA256()))
            return True
        except InvalidSignature:
            return False

    def to_jwk(self) -> Object:
        """Return the JSON Web Key."""
        if isinstance(self._key, rsa.RSAPublicKey):
            numbers = self._key.public_numbers()
            parts = {"n": _encode_integer(numbers.n), "e": _encode_integer(numbers.e)}
            return {"use": "sig", "kty": "RSA", "kid": self.key_id, "alg": self.algorithm, **parts}
        point = self._key.public_numbers()
        x, y = (_encode(number.to_bytes(_COORDINATE_BYTES, "big")) for number in (point.x, point.y))
        return {"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": self.algorithm, "x": x, "y": y}


def _encode_integer(number: int) -> str:
    return _encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def key_set_document(keys: Sequence[VerificationKey]) -> Object:
    """The document of /openid/v1/jwks."""
    return {"keys": [key.to_jwk() for key in keys]}


def discovery_document(issuer: str, keys: Sequence[VerificationKey], *, jwks_uri: str) -> Object:
    """The document of /.well-known/openid-configuration."""
    return {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key.algorithm for key in keys}),
    }


class TokenIssuer:
    """Signs tokens for one cluster."""

    def __init__(self, key: SigningKey, *, issuer: str = DEFAULT_ISSUER) -> None:
        self._key = key
        self.issuer = issuer

    @property
    def public_key(self) -> VerificationKey:
        """The key that verifies what this issuer signs."""
        return self._key.public

    def issue(
        self,
        subject: TokenSubject,
        *,
        audiences: Sequence[str],
        expiration_seconds: int,
        token_id: str,
        now: datetime,
    ) -> str:
        """Sign a token; one for a Pod and the API server with the usual lifetime is extended to a year."""
        issued = int(now.timestamp())
        extends = (
            expiration_seconds == WARN_ONLY_SECONDS
            and subject.bound is not None
            and subject.bound.kind == "Pod"
            and list(audiences) == [self.issuer]
        )
        private: Object = {"namespace": subject.namespace}
        if subject.node_name:
            private["node"] = {"name": subject.node_name, "uid": subject.node_uid}
        if subject.bound is not None:
            private[subject.bound.kind.lower()] = {"name": subject.bound.name, "uid": subject.bound.uid}
        private["serviceaccount"] = {"name": subject.name, "uid": subject.uid}
        if extends:
            private["warnafter"] = issued + expiration_seconds
        return self._key.sign(
            {
                "aud": list(audiences),
                "exp": issued + (EXTENDED_SECONDS if extends else expiration_seconds),
                "iat": issued,
                "iss": self.issuer,
                "jti": token_id,
                "kubernetes.io": private,
                "nbf": issued,
                "sub": service_account_name(subject.namespace, subject.name),
            }
        )

    def issue_legacy(self, *, namespace: str, name: str, uid: str, secret_name: str) -> str:
        """Sign the token of a Secret of type kubernetes.io/service-account-token, which never expires."""
        prefix = LEGACY_ISSUER
        return self._key.sign(
            {
                "iss": LEGACY_ISSUER,
                f"{prefix}/namespace": namespace,
                f"{prefix}/secret.name": secret_name,
                f"{prefix}/service-account.name": name,
                f"{prefix}/service-account.uid": uid,
                "sub": service_account_name(namespace, name),
            }
        )


class TokenVerifier:
    """Verifies tokens: signature and times once per token, the bound objects at every call."""

    def __init__(
        self,
        keys: Sequence[VerificationKey],
        reader: ObjectReader,
        *,
        issuer: str = DEFAULT_ISSUER,
        audiences: Sequence[str] | None = None,
        cache_size: int = 4096,
    ) -> None:
        self._keys = {key.key_id: key for key in keys}
        self._reader = reader
        self._issuer = issuer
        self._audiences = tuple(audiences or (issuer,))
        self._cache: dict[str, Object] = {}
        self._cache_size = cache_size

    def verify(self, token: str, *, now: datetime, audiences: Sequence[str] = ()) -> VerifiedToken:
        """Return whom a token speaks for; `audiences` default to the API server's. Raises TokenError."""
        claims = self._claims(token)
        if claims.get("iss") == LEGACY_ISSUER:
            return self._verify_legacy(claims, token, audiences)
        expires = _check_times(claims, now)
        accepted = _accepted_audiences(claims, tuple(audiences) or self._audiences)
        private = claims.get("kubernetes.io")
        if not isinstance(private, dict) or not isinstance(private.get("serviceaccount"), dict):
            raise TokenError("the token has no kubernetes.io claim")
        self._check_objects(private, now)
        return VerifiedToken(_user_of(claims, private), accepted, expires, claims)

    def _claims(self, token: str) -> Object:
        claims = self._cache.get(token)
        if claims is None:
            claims = self._read(token)
            if len(self._cache) >= self._cache_size:
                self._cache.clear()
            self._cache[token] = claims
        return claims

    def _read(self, token: str) -> Object:
        parts = token.split(".")
        if len(parts) != 3:
            raise TokenError("the token does not have three parts")
        header, claims = _decode_json(parts[0]), _decode_json(parts[1])
        key = self._keys.get(str(header.get("kid")))
        candidates = [key] if key is not None else list(self._keys.values())
        if claims.get("iss") not in (self._issuer, LEGACY_ISSUER):
            raise TokenError("the token has another issuer")
        signature, content = _decode(parts[2]), f"{parts[0]}.{parts[1]}".encode()
        for candidate in candidates:
            if header.get("alg") == candidate.algorithm and candidate.is_signature(signature, content):
                return claims
        raise TokenError("the token is not signed by a key of this cluster")

    def _check_objects(self, private: Mapping[str, Any], now: datetime) -> None:
        namespace, account = str(private.get("namespace")), private["serviceaccount"]
        checks = [
            (self._reader.find(SERVICE_ACCOUNTS, namespace, str(account.get("name"))), account, "service account"),
        ]
        if "pod" in private:
            pod = private["pod"]
            checks.append((self._reader.find(PODS, namespace, str(pod.get("name"))), pod, "pod"))
        elif "secret" in private:
            secret = private["secret"]
            checks.append((self._reader.find(SECRETS, namespace, str(secret.get("name"))), secret, "secret"))
        elif "node" in private:
            node = private["node"]
            checks.append((self._reader.find(NODES, None, str(node.get("name"))), node, "node"))
        for obj, reference, what in checks:
            _check_object(obj, str(reference.get("uid")), what, now)

    def _verify_legacy(self, claims: Mapping[str, Any], token: str, audiences: Sequence[str]) -> VerifiedToken:
        if audiences and not set(audiences) & set(self._audiences):
            raise TokenError("the token is for another audience")
        namespace = str(claims.get(f"{LEGACY_ISSUER}/namespace"))
        name = str(claims.get(f"{LEGACY_ISSUER}/service-account.name"))
        uid = str(claims.get(f"{LEGACY_ISSUER}/service-account.uid"))
        account = self._reader.find(SERVICE_ACCOUNTS, namespace, name)
        if account is None or account["metadata"].get("uid") != uid:
            raise TokenError("the token's service account does not exist any more")
        secret = self._reader.find(SECRETS, namespace, str(claims.get(f"{LEGACY_ISSUER}/secret.name")))
        held = ((secret or {}).get("data") or {}).get("token", "")
        if base64.b64encode(token.encode()).decode() != held:
            raise TokenError("the token's secret does not hold it any more")
        user = User(
            name=service_account_name(namespace, name),
            uid=uid,
            groups=(*service_account_groups(namespace), AUTHENTICATED_GROUP),
        )
        return VerifiedToken(user, self._audiences, None, claims)


def _check_object(obj: ReadOnlyObject | None, uid: str, what: str, now: datetime) -> None:
    if obj is None or obj["metadata"].get("uid") != uid:
        raise TokenError(f"the token's {what} does not exist any more")
    deleted = obj["metadata"].get("deletionTimestamp")
    if deleted and parse_time(deleted) < now - DELETION_LEEWAY:
        raise TokenError(f"the token's {what} has been deleted")


def _check_times(claims: Mapping[str, Any], now: datetime) -> datetime | None:
    moment = now.timestamp()
    expires, starts = claims.get("exp"), claims.get("nbf")
    if not isinstance(expires, int | float) or moment >= expires:
        raise TokenError("the token has expired")
    # Upstream allows clocks to differ by a minute (go-jose's default leeway).
    if isinstance(starts, int | float) and moment + 60 < starts:
        raise TokenError("the token is not valid yet")
    return datetime.fromtimestamp(expires, tz=now.tzinfo)


def _accepted_audiences(claims: Mapping[str, Any], wanted: Sequence[str]) -> tuple[str, ...]:
    audiences = claims.get("aud")
    named = [audiences] if isinstance(audiences, str) else list(audiences or ())
    accepted = tuple(audience for audience in wanted if audience in named)
    if not accepted:
        raise TokenError("the token is for another audience")
    return accepted


def _user_of(claims: Mapping[str, Any], private: Mapping[str, Any]) -> User:
    namespace, account = str(private["namespace"]), private["serviceaccount"]
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti"):
        extra[_CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
    if "node" in private:
        extra[_NODE_NAME] = (str(private["node"].get("name")),)
        extra[_NODE_UID] = (str(private["node"].get("uid")),)
    if "pod" in private:
        extra[_POD_NAME] = (str(private["pod"].get("name")),)
        extra[_POD_UID] = (str(private["pod"].get("uid")),)
    return User(
        name=service_account_name(namespace, str(account["name"])),
        uid=str(account.get("uid")),
        groups=(*service_account_groups(namespace), AUTHENTICATED_GROUP),
        extra=extra,
    )
