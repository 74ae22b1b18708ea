"""Who is it? Client certificate, static token, ServiceAccount token, in upstream's order, then nobody (anonymous).

TLS has already verified that a client certificate is signed by the cluster's CA; here it is only read. What was read
is kept per certificate, so a connection pays once.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import datetime

from control.api.clock import Clock
from control.api.exchange import ApiRequest, User
from control.auth.attributes import ANONYMOUS_NAME, AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP
from control.auth.tokens import TokenError, TokenVerifier, VerifiedToken

ANONYMOUS = User(name=ANONYMOUS_NAME, groups=(UNAUTHENTICATED_GROUP,))

_CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_WEBSOCKET_BEARER = "base64url.bearer.authorization.k8s.io."
_CERTIFICATES_MAX = 1024


class TokenFileError(ValueError):
    """A static token file that cannot be read."""


def parse_token_file(text: str) -> dict[str, User]:
    """Read kube-apiserver's --token-auth-file: lines of `token,user,uid[,"group1,group2"]`. Raises TokenFileError."""
    users: dict[str, User] = {}
    for number, row in enumerate(csv.reader(io.StringIO(text), skipinitialspace=True), start=1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) < 3:
            raise TokenFileError(f"line {number}: token file must have at least 3 columns, found {len(row)}")
        token, name, uid = row[0], row[1], row[2]
        if not token or token in users:
            continue
        groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
        users[token] = User(name=name, uid=uid, groups=_with_authenticated(groups))
    return users


def _with_authenticated(groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(groups) if AUTHENTICATED_GROUP in groups else (*groups, AUTHENTICATED_GROUP)


class Authenticator:
    """Finds the user of a request."""

    def __init__(
        self,
        *,
        clock: Clock,
        static_tokens: Mapping[str, User] | None = None,
        verifier: TokenVerifier | None = None,
        allows_anonymous: bool = False,
    ) -> None:
        self._clock = clock
        # Looked up by digest, so that the time a lookup takes says nothing about a token.
        self._static = {_digest(token): user for token, user in (static_tokens or {}).items()}
        self._verifier = verifier
        self._allows_anonymous = allows_anonymous
        self._certificates: dict[bytes, tuple[User, datetime]] = {}

    def authenticate(self, request: ApiRequest) -> User | None:
        """Return the user, or None: answer 401. Credentials that prove nothing never make an anonymous request."""
        if request.user is not None:
            return request.user
        if request.peer_certificate is not None:
            user = self._user_of_certificate(request.peer_certificate)
            if user is not None:
                return user
        token = find_bearer_token(request.headers)
        if token is not None:
            return self._user_of_token(token)
        if self._allows_anonymous and request.peer_certificate is None:
            return ANONYMOUS
        return None

    def review_token(self, token: str, audiences: Sequence[str]) -> VerifiedToken | None:
        """Judge a token for a TokenReview, or None when it proves nothing."""
        user = self._static.get(_digest(token))
        if user is not None:
            return VerifiedToken(user, (), None)
        if self._verifier is None:
            return None
        try:
            return self._verifier.verify(token, now=self._clock.now(), audiences=audiences)
        except TokenError:
            return None

    def _user_of_token(self, token: str) -> User | None:
        user = self._static.get(_digest(token))
        if user is not None:
            return user
        verified = self.review_token(token, ())
        return verified.user if verified is not None else None

    def _user_of_certificate(self, certificate: bytes) -> User | None:
        found = self._certificates.get(certificate)
        if found is None:
            found = read_certificate(certificate)
            if len(self._certificates) >= _CERTIFICATES_MAX:
                self._certificates.clear()
            self._certificates[certificate] = found
        user, expires = found
        return user if user.name and self._clock.now() < expires else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def read_certificate(certificate: bytes) -> tuple[User, datetime]:
    """Read a DER certificate: common name, organizations as groups, and when it expires."""
    from cryptography import x509  # 30 ms to import; a start without client certificates does not pay them
    from cryptography.x509.oid import NameOID

    parsed = x509.load_der_x509_certificate(certificate)
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    user = User(
        name=str(names[0].value) if names else "",
        groups=_with_authenticated([str(item.value) for item in organizations]),
        extra={_CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(certificate).hexdigest()}",)},
    )
    return user, parsed.not_valid_after_utc


def find_bearer_token(headers: Mapping[str, str]) -> str | None:
    """Return the token of the Authorization header, or the one browsers put in the WebSocket protocol list."""
    authorization = headers.get("authorization", "").strip()
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        protocol = protocol.strip()
        if protocol.startswith(_WEBSOCKET_BEARER):
            encoded = protocol[len(_WEBSOCKET_BEARER) :]
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except (binascii.Error, UnicodeDecodeError):
                return None
    return None
