"""Answers through the proxy subresources lead back through them: links and redirects to the same host get its prefix.

Upstream: apimachinery/pkg/util/proxy/transport.go. Pure.
"""

from __future__ import annotations

import gzip
import html
import zlib
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from urllib.parse import SplitResult, urlsplit, urlunsplit

#: attributes that hold a URL, by their element
_URL_ATTRIBUTES = {
    "a": ("href",),
    "applet": ("codebase",),
    "area": ("href",),
    "audio": ("src",),
    "base": ("href",),
    "blockquote": ("cite",),
    "body": ("background",),
    "button": ("formaction",),
    "command": ("icon",),
    "del": ("cite",),
    "embed": ("src",),
    "form": ("action",),
    "frame": ("longdesc", "src"),
    "head": ("profile",),
    "html": ("manifest",),
    "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"),
    "ins": ("cite",),
    "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"),
    "q": ("cite",),
    "script": ("src",),
    "source": ("src",),
    "video": ("poster", "src"),
}

Headers = Sequence[tuple[str, str]]


def rewrite_url(url: str, prefix: str, hosts: Iterable[str]) -> str:
    """The URL under the prefix if it leads to one of the hosts (`name:port`) or has none; others stay as they are."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if not parts.path.startswith("/") or (parts.netloc and parts.netloc not in hosts):
        return url
    path = parts.path if parts.path.startswith(prefix) else prefix + parts.path
    return urlunsplit(SplitResult("", "", path, parts.query, parts.fragment))


def rewrite_redirect(headers: Headers, prefix: str, hosts: Iterable[str]) -> list[tuple[str, str]]:
    """The headers with their Location under the prefix."""
    return [
        (name, rewrite_url(value, prefix, hosts) if name.lower() == "location" else value) for name, value in headers
    ]


def is_rewritable_page(headers: Headers) -> bool:
    """Whether an answer is a page of HTML whose encoding is known here, and no redirect."""
    values = {name.lower(): value for name, value in headers}
    is_html = values.get("content-type", "").partition(";")[0].strip() == "text/html"
    return is_html and "location" not in values and values.get("content-encoding", "") in ("", "gzip")


def rewrite_page(body: bytes, headers: Headers, prefix: str, hosts: Iterable[str]) -> bytes:
    """The page with its links under the prefix, in the encoding it had; one that is broken stays as it is."""
    is_compressed = any(name.lower() == "content-encoding" and value == "gzip" for name, value in headers)
    try:
        plain = gzip.decompress(body) if is_compressed else body
    except (OSError, EOFError, zlib.error):
        return body
    # One character for one byte: whatever the page's encoding, what is not rewritten is kept.
    page = rewrite_html(plain.decode("latin-1"), prefix, hosts).encode("latin-1", "xmlcharrefreplace")
    return gzip.compress(page) if is_compressed else page


def rewrite_html(text: str, prefix: str, hosts: Iterable[str]) -> str:
    """The text with the URLs of its elements under the prefix; all else is kept to the letter."""
    finder = _LinkFinder(prefix, tuple(hosts))
    finder.feed(text)
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    pieces, end = list[str](), 0
    for (row, column), old, new in finder.found:
        start = starts[row - 1] + column
        pieces += [text[end:start], new]
        end = start + len(old)
    return "".join([*pieces, text[end:]])


class _LinkFinder(HTMLParser):
    """Collects where a start tag is to be another: position, the tag as it stands, and as it is to be."""

    def __init__(self, prefix: str, hosts: tuple[str, ...]) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[tuple[tuple[int, int], str, str]] = []
        self._prefix = prefix
        self._hosts = hosts

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        names = _URL_ATTRIBUTES.get(tag, ())
        changed = [
            (name, rewrite_url(value, self._prefix, self._hosts) if value and name in names else value)
            for name, value in attrs
        ]
        old = self.get_starttag_text()
        if old and changed != attrs:
            written = "".join(f' {name}="{html.escape(value or "")}"' for name, value in changed)
            self.found.append((self.getpos(), old, f"<{tag}{written}{'/' if old.endswith('/>') else ''}>"))
