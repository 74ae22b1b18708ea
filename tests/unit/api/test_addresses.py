from __future__ import annotations

import pytest

from control.api.addresses import is_global_unicast


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.244.0.2", True),
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("255.255.255.255", False),
        ("", False),
        ("metadata", False),
    ],
)
def test_addresses_that_a_proxy_may_be_sent_to(address: str, expected: bool) -> None:
    assert is_global_unicast(address) is expected
