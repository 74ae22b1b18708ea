"""Links and redirects in answers through a proxy."""

from __future__ import annotations

import gzip

import pytest

from control.apiserver.registry.subresources.proxy_rewriting import (
    is_rewritable_page,
    rewrite_html,
    rewrite_page,
    rewrite_redirect,
    rewrite_url,
)

PREFIX = "/api/v1/namespaces/ns/pods/web/proxy"
HOSTS = ("10.0.0.1:80", "podling:6443")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("/a", f"{PREFIX}/a", id="an absolute path gets the prefix"),
        pytest.param("/a/?b=c#d", f"{PREFIX}/a/?b=c#d", id="query, fragment and slash stay"),
        pytest.param("http://10.0.0.1:80/a", f"{PREFIX}/a", id="the target itself is reached through the proxy"),
        pytest.param("https://podling:6443/a", f"{PREFIX}/a", id="the server itself too"),
        pytest.param("http://example.com/a", "http://example.com/a", id="another host stays"),
        pytest.param("//example.com/a", "//example.com/a", id="another host without a scheme stays"),
        pytest.param("a/b", "a/b", id="a relative path stays"),
        pytest.param("mailto:a@b", "mailto:a@b", id="what is no path stays"),
        pytest.param("http://[bad/", "http://[bad/", id="what is no URL stays"),
        pytest.param(f"{PREFIX}/a", f"{PREFIX}/a", id="what has the prefix keeps it once"),
    ],
)
def test_urls(url: str, expected: str) -> None:
    assert rewrite_url(url, PREFIX, HOSTS) == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<a href="/x">test</a>', f'<a href="{PREFIX}/x">test</a>'),
        ("<A class=k HREF='/x?a&amp;b'>t</A>", f'<a class="k" href="{PREFIX}/x?a&amp;b">t</A>'),
        ('<p>\n<img src="/i.png"/>\n  <a href="y">', f'<p>\n<img src="{PREFIX}/i.png"/>\n  <a href="y">'),
        ('<div href="/x">', '<div href="/x">'),
        ('<!-- <a href="/x"> --><script>a="<a href=\'/x\'>"</script>', None),
        ("<a href>&copy; \u00e9 <", None),
    ],
)
def test_pages(page: str, expected: str | None) -> None:
    assert rewrite_html(page, PREFIX, HOSTS) == (page if expected is None else expected)


def test_compressed_pages_stay_compressed_and_broken_ones_as_they_are() -> None:
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Encoding", "gzip")]
    page = '<a href="/x">é</a>'.encode()
    assert is_rewritable_page(headers)
    rewritten = rewrite_page(gzip.compress(page), headers, PREFIX, HOSTS)
    assert gzip.decompress(rewritten) == page.replace(b"/x", f"{PREFIX}/x".encode())
    assert rewrite_page(b"no gzip", headers, PREFIX, HOSTS) == b"no gzip"


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "text/plain")],
        [("content-type", "text/html"), ("content-encoding", "br")],
        [("content-type", "text/html"), ("location", "/x")],
        [],
    ],
)
def test_other_answers_are_passed_on(headers: list[tuple[str, str]]) -> None:
    assert not is_rewritable_page(headers)


def test_redirects_lead_through_the_proxy() -> None:
    headers = [("Location", "http://10.0.0.1:80/login"), ("X-Other", "/a")]
    assert rewrite_redirect(headers, PREFIX, HOSTS) == [("Location", f"{PREFIX}/login"), ("X-Other", "/a")]
