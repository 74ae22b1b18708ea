from __future__ import annotations

import base64
import ssl
from datetime import timedelta

import pytest

from control.api.builtin_kinds import SERVICE_ACCOUNTS
from control.api.clock import FakeClock
from control.api.exchange import ApiRequest, User
from control.auth.authenticator import ANONYMOUS, Authenticator, TokenFileError, find_bearer_token, parse_token_file
from control.auth.pki import CertificateAuthority, make_ca, make_signing_key
from control.auth.tokens import DEFAULT_ISSUER, SigningKey, TokenIssuer, TokenSubject, TokenVerifier
from tests.unit.auth.reader import ListReader

KEY = SigningKey(make_signing_key())
TOKENS = 'admin-token,admin,1,"system:masters"\nbob-token,bob,2\nkube,system:node:n1,3,"system:nodes, x"\n'


class Setting:
    def __init__(self, *, allows_anonymous: bool = False) -> None:
        self.clock = FakeClock()
        self.reader = ListReader()
        self.reader.add(SERVICE_ACCOUNTS, "robot", "ns")
        self.authority = CertificateAuthority(make_ca("ca", now=self.clock.now()))
        self.authenticator = Authenticator(
            clock=self.clock,
            static_tokens=parse_token_file(TOKENS),
            verifier=TokenVerifier([KEY.public], self.reader),
            allows_anonymous=allows_anonymous,
        )

    def certificate(self, name: str) -> bytes:
        pair = self.authority.issue_client(name, ("team",), now=self.clock.now())
        return ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode())

    def ask(self, token: str = "", certificate: bytes | None = None) -> User | None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        request = ApiRequest(method="GET", path="/api", headers=headers, peer_certificate=certificate)
        return self.authenticator.authenticate(request)


def name_of(user: User | None) -> str | None:
    return user.name if user else None


def test_static_tokens_have_groups_and_uid() -> None:
    user = Setting().ask("admin-token")
    assert user == User(name="admin", uid="1", groups=("system:masters", "system:authenticated"))


def test_unknown_identity_is_nobody() -> None:
    setting = Setting()
    assert setting.ask() is None
    assert setting.ask("nope") is None


def test_anonymous_needs_permission_and_no_credentials() -> None:
    setting = Setting(allows_anonymous=True)
    assert setting.ask() == ANONYMOUS
    assert setting.ask("nope") is None


async def test_client_certificate_until_it_expires() -> None:
    setting = Setting()
    certificate = setting.certificate("alice")
    user = setting.ask(certificate=certificate)
    assert user is not None
    assert (user.name, user.groups) == ("alice", ("team", "system:authenticated"))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")
    await setting.clock.advance(timedelta(days=366).total_seconds())
    assert setting.ask(certificate=certificate) is None


def test_certificate_comes_before_token() -> None:
    setting = Setting()
    assert name_of(setting.ask("bob-token", setting.certificate("alice"))) == "alice"


async def test_service_account_token_until_it_expires_or_its_account_goes() -> None:
    setting = Setting()
    token = TokenIssuer(KEY).issue(
        TokenSubject(namespace="ns", name="robot", uid="serviceaccounts-robot"),
        audiences=[DEFAULT_ISSUER],
        expiration_seconds=600,
        token_id="1",
        now=setting.clock.now(),
    )
    assert name_of(setting.ask(token)) == "system:serviceaccount:ns:robot"
    setting.reader.objects.clear()
    assert setting.ask(token) is None
    setting.reader.add(SERVICE_ACCOUNTS, "robot", "ns")
    assert setting.ask(token) is not None
    await setting.clock.advance(600)
    assert setting.ask(token) is None


def test_in_process_user_is_taken_as_it_is() -> None:
    user = User(name="system:kube-scheduler")
    assert Setting().authenticator.authenticate(ApiRequest(method="GET", path="/", user=user)) is user


def test_token_review_of_a_static_token() -> None:
    authenticator = Setting().authenticator
    reviewed = authenticator.review_token("bob-token", ())
    assert reviewed is not None
    assert reviewed.user.name == "bob"
    assert authenticator.review_token("nope", ()) is None


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer  abc "}, "abc"),
        ({"authorization": "Basic abc"}, None),
        ({"authorization": "Bearer"}, None),
        ({}, None),
        (
            {
                "sec-websocket-protocol": "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io."
                + base64.urlsafe_b64encode(b"abc").decode().rstrip("=")
            },
            "abc",
        ),
    ],
)
def test_find_bearer_token(headers: dict[str, str], token: str | None) -> None:
    assert find_bearer_token(headers) == token


def test_token_file_line_with_too_few_columns_is_an_error() -> None:
    with pytest.raises(TokenFileError, match="line 2"):
        parse_token_file("a,b,c\nx,y\n")


def test_token_file_groups_are_a_quoted_list() -> None:
    assert parse_token_file(TOKENS)["kube"].groups == ("system:nodes", "x", "system:authenticated")
