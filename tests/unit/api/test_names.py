from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api import addresses, names

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    " (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
MANY_SLASHES = (
    f"a valid label key {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)


@pytest.mark.parametrize(
    ("judge", "text", "errors"),
    [
        (names.dns1123_subdomain_errors, "a.b-c", []),
        (names.dns1123_subdomain_errors, "UPPER", [SUBDOMAIN]),
        (names.dns1123_subdomain_errors, "a\n", [SUBDOMAIN]),
        (names.dns1123_subdomain_errors, "a" * 254, ["must be no more than 253 characters"]),
        (names.dns1123_label_errors, "a-1", []),
        (names.dns1123_label_errors, "a.b", ["must not contain dots"]),
        (names.dns1123_label_errors, "", [LABEL]),
        (names.dns1123_label_errors, "x" * 64, ["must be no more than 63 characters"]),
        (names.qualified_name_errors, "example.com/My_Name.1", []),
        (names.qualified_name_errors, "bad key", [f"name part {QUALIFIED}"]),
        (names.qualified_name_errors, "", ["name part must be non-empty", f"name part {QUALIFIED}"]),
        (names.qualified_name_errors, "/a", ["prefix part must be non-empty"]),
        (names.qualified_name_errors, "a b/c", [f"prefix part {SUBDOMAIN}"]),
        (names.qualified_name_errors, "k" * 64, ["name part must be no more than 63 bytes"]),
        (
            names.qualified_name_errors,
            "a/b/c",
            [MANY_SLASHES],
        ),
        (names.label_value_errors, "", []),
        (names.label_value_errors, "v" * 64, ["must be no more than 63 bytes"]),
        (names.config_map_key_errors, "..", ["must not be '..'"]),
        (names.config_map_key_errors, "..a", ["must not start with '..'"]),
        (names.config_map_key_errors, "a.b_C-1", []),
        (names.env_var_name_errors, "1 weird-name!", []),
        (names.env_var_name_errors, "", ["environment variable name must be non-empty"]),
        (
            names.env_var_name_errors,
            "a=b",
            ["a valid environment variable name must consist only of printable ASCII characters other than '='"],
        ),
        (
            names.port_name_errors,
            "UPPER",
            [
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "must contain at least one letter (a-z)",
            ],
        ),
        (names.port_name_errors, "a--b", ["must not contain consecutive hyphens"]),
        (names.port_name_errors, "-a", ["must not begin or end with a hyphen"]),
        (names.port_name_errors, "a234567890123456", ["must be no more than 15 characters"]),
        (
            names.percent_errors,
            "5",
            [
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%',"
                " regex used for validation is '[0-9]+%')"
            ],
        ),
        (
            names.http_header_name_errors,
            "a b",
            [
                "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used"
                " for validation is '[-A-Za-z0-9]+')"
            ],
        ),
        (names.path_segment_name_errors, "a/b", ["may not contain '/'"]),
        (names.path_segment_name_errors, "..", ["may not be '..'"]),
        (names.finalizer_errors, "example.com/a", []),
        (addresses.ip_errors, "10.0.0.1", []),
        (addresses.ip_errors, "nope", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
        (addresses.ip_errors, "fe80::1%eth0", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
        (addresses.ip_errors, "010.001.0.1", ["must not have leading 0s"]),
        (addresses.ip_errors, "::ffff:10.0.0.1", ["must not be an IPv4-mapped IPv6 address"]),
        (addresses.ip_errors, "2001:DB8::0:1", []),
        (addresses.canonical_ip_errors, "2001:DB8::0:1", ['must be in canonical form ("2001:db8::1")']),
        (addresses.canonical_ip_errors, "10.0.0.1", []),
        (addresses.ip_errors, "256.1.1.1", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
        (addresses.cidr_errors, "10.0.0.0/24", []),
        (addresses.cidr_errors, "10.0.0.5/24", ["must not have bits set beyond the prefix length"]),
        (addresses.cidr_errors, "010.0.0.0/24", ["must not have leading 0s in IP or prefix length"]),
        (addresses.cidr_errors, "10.0.0.0/08", ["must not have leading 0s in IP or prefix length"]),
        (addresses.cidr_errors, "::ffff:10.0.0.0/104", ["must not have an IPv4-mapped IPv6 address"]),
        (addresses.canonical_cidr_errors, "2001:DB8::/64", ['must be in canonical form ("2001:db8::/64")']),
        (addresses.cidr_errors, "10.0.0.0/33", ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]),
        (addresses.ipv4_errors, "::1", ["must be a valid IPv4 address"]),
        (addresses.ipv6_errors, "1.2.3.4", ["must be a valid IPv6 address"]),
    ],
)
def test_errors_are_upstreams_sentences(judge, text: str, errors: list[str]) -> None:  # type: ignore[no-untyped-def]
    assert judge(text) == errors


def test_finalizer_without_prefix_must_be_a_standard_one() -> None:
    assert names.finalizer_errors("orphan", needs_prefix=True) == []
    assert names.finalizer_errors("mine", needs_prefix=True) == [
        "name is neither a standard finalizer name nor is it fully qualified"
    ]


def test_port_numbers() -> None:
    assert names.port_number_errors(65535) == []
    assert names.port_number_errors(0) == ["must be between 1 and 65535, inclusive"]


def test_annotations_size_counts_bytes() -> None:
    assert names.annotations_size({"a": "é"}) == 3


def test_generated_names_fit_a_label() -> None:
    name = names.generate_name("p" * 100, random.Random(1))
    assert len(name) == 63
    assert re.fullmatch(f"p{{58}}[{names.NAME_ALPHABET}]{{5}}", name)


@given(st.text(max_size=20))
def test_a_label_is_a_subdomain_and_a_label_value(text: str) -> None:
    if not names.dns1123_label_errors(text):
        assert names.dns1123_subdomain_errors(text) == []
        assert names.label_value_errors(text) == []
        assert names.qualified_name_errors(f"example.com/{text}") == []


@given(st.ip_addresses())
def test_every_address_is_valid(address: object) -> None:
    mapped = address.version == 6 and address.ipv4_mapped is not None
    assert addresses.ip_errors(str(address)) == (["must not be an IPv4-mapped IPv6 address"] if mapped else [])
    assert addresses.find_network(f"{address}/16") is not None
