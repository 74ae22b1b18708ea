"""Content negotiation: which representation an Accept header asks for, and how objects are encoded.

JSON is what is kept and sent; YAML is made of it on request, and Table and PartialObjectMetadata are transformations
that `representation.py` carries out. Protobuf is sent to clients that accept nothing else: JSON is copied, protobuf is
made, and clients that list both read both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson

from control.api.errors import ApiError

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
SERVED_MEDIA_TYPES = (JSON, YAML, PROTOBUF)

#: upstream compresses answers above this size, at the cheapest level (endpoints/handlers/responsewriters)
GZIP_MINIMUM_BYTES = 128 * 1024
GZIP_LEVEL = 1

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_PEOPLES_AGENTS = ("curl", "Wget", "Mozilla/5.0")
_TRANSFORMATIONS = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaChoice:
    """The representation chosen: the format on the wire and what the object is turned into (empty: itself)."""

    media_type: str = JSON
    transformation: str = ""
    version: str = ""
    is_pretty: bool = False

    @property
    def is_plain_json(self) -> bool:
        """Whether cached bytes can be sent as they are."""
        return not self.transformation and not self.is_pretty and self.media_type == JSON

    def made_pretty(self) -> MediaChoice:
        """The same, indented for people."""
        return replace(self, is_pretty=True)


PLAIN_JSON = MediaChoice()
PLAIN_PROTOBUF = MediaChoice(media_type=PROTOBUF)


@dataclass(frozen=True, slots=True)
class _Clause:
    media_type: str
    parameters: tuple[tuple[str, str], ...]
    quality: float

    def parameter(self, name: str) -> str:
        return next((value for key, value in self.parameters if key == name), "")


@lru_cache(maxsize=256)
def parse_accept(header: str) -> tuple[_Clause, ...]:
    """Parse an Accept header into clauses, best first (by quality, then as written)."""
    clauses = []
    for part in header.split(","):
        media_type, *raw = (piece.strip() for piece in part.split(";"))
        if not media_type:
            continue
        pairs = tuple((name.strip(), value.strip()) for name, _, value in (item.partition("=") for item in raw))
        clauses.append(_Clause(media_type, pairs, _quality(dict(pairs).get("q", "1"))))
    return tuple(sorted(clauses, key=lambda clause: -clause.quality))


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


@lru_cache(maxsize=256)
def choose_object_media(header: str) -> MediaChoice | None:
    """Choose a representation of an object or a list; None if nothing acceptable is served.

    As upstream's router, a partial wildcard (`application/*`) names nothing.
    """
    if not header:
        return PLAIN_JSON
    clauses = parse_accept(header)
    for clause in clauses:
        media_type = JSON if clause.media_type == "*/*" else clause.media_type
        if media_type not in (JSON, YAML):
            continue
        transformation = clause.parameter("as")
        version = clause.parameter("v")
        if transformation and not _is_transformation(transformation, version, clause.parameter("g")):
            continue
        if media_type == JSON and not transformation and not clause.parameter("pretty"):
            return PLAIN_JSON
        return MediaChoice(
            media_type=media_type,
            transformation=transformation,
            version=version,
            is_pretty=clause.parameter("pretty") == "1",
        )
    if any(clause.media_type == PROTOBUF and not clause.parameters for clause in clauses):
        return PLAIN_PROTOBUF
    return None


def _is_transformation(name: str, version: str, group: str) -> bool:
    return name in _TRANSFORMATIONS and group == "meta.k8s.io" and version in ("v1", "v1beta1")


def wants_pretty(parameter: str, user_agent: str) -> bool:
    """Whether an answer is read by people: if they say so, or by a browser or command-line tool if they do not say."""
    if parameter:
        return parameter in _TRUE
    return user_agent.startswith(_PEOPLES_AGENTS)


def not_acceptable() -> ApiError:
    """406 as upstream's router words it."""
    listing = ", ".join(SERVED_MEDIA_TYPES)
    return ApiError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {listing}", details={})


def only_media_types_accepted() -> ApiError:
    """406 as upstream's negotiator words it."""
    listing = ", ".join(SERVED_MEDIA_TYPES)
    return ApiError(406, "NotAcceptable", f"only the following media types are accepted: {listing}")


def encode_object(value: Any, media: MediaChoice) -> bytes:
    """Encode a JSON value in the chosen format, ending in a newline."""
    if media.media_type == YAML:
        return encode_yaml(value)
    if media.media_type == PROTOBUF:
        return _encode_protobuf(value)
    if media.is_pretty:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _encode_protobuf(value: Any) -> bytes:
    from control.schema.protobuf import ProtobufError  # few clients accept nothing but protobuf
    from control.schema.protobuf_encoder import encode_protobuf

    try:
        return encode_protobuf(value)
    except ProtobufError:
        raise not_acceptable() from None


def encode_yaml(value: Any) -> bytes:
    """Encode as YAML in the style of Go's encoder: sorted keys, literal blocks, double quotes where needed."""
    from control.apiserver.yaml_encoding import dump_yaml  # PyYAML is loaded when first asked for

    return dump_yaml(value)


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header lists gzip."""
    return "gzip" in header and any(part.partition(";")[0].strip() == "gzip" for part in header.split(","))
