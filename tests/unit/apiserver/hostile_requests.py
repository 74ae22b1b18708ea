# ruff: noqa: E501
"""Requests as nobody should send them: any verb on any kind, bodies that are nearly right, parameters that are not.

A request is made of a seed alone, so a failing one can be made again.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.kinds import Kind
from control.schema.builtin import definition_schema
from control.schema.structural import Schema
from tests.unit.apiserver.valid_objects import valid_objects

NAMES = (
    "x",
    "y",
    "default",
    "kubernetes",
    "..",
    "a%2fb",
    "A",
    "-",
    "\ufffd",
    "x" * 300,
    "1",
    "a.b",
    "\x00",
    " ",
    "x:y",
)
NAMESPACES = ("default",) * 9 + ("kube-system", "none", "..", "-")
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, -(2**31) - 1, 2**63, -(2**63), 10**40, 0.5, 1e300, -0.0,
    "", "x", "y", "0", "-1", "100m", "1Gi", "1e99999", "9" * 100, "10.0.0.0/8", "::1", "10.0.0.1", "a/b", "A b", "x=y",
    "2026-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "*", "All", "TCP", "Always", "\u0000", "\ufffd", "\U0001f600", "é",
    "x" * 300, "100%", "%", "http", "/", "../..", "$(X)", "9" * 5000, "\u00b2", "\u0663", "0" * 5000, "-" + "9" * 400, "[", "(", "\\", "'", '"', "\n", "system:masters", "1.5",
)  # fmt: skip
EMPTY: tuple[Any, ...] = ({}, [], [None], [[]], {"": ""}, {"a": None}, [{}], {"metadata": []})
METHODS = ("POST",) * 6 + ("PUT",) * 5 + ("PATCH",) * 6 + ("GET",) * 3 + ("DELETE", "DELETE", "HEAD", "OPTIONS", "X")
SUBRESOURCES = ("status", "scale", "eviction", "binding", "log", "exec", "resize", "token", "finalize", "approval",
                "ephemeralcontainers", "attach", "portforward", "none", "..")  # fmt: skip
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
MEDIA = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", "", "a/b;c=d")
ACCEPTS = (
    "", "*/*", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/html", ";;;,,q=x",
    "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", "application/json;as=X;g=y;v=z",
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "application/cbor",
)  # fmt: skip
PARAMETERS: dict[str, tuple[str, ...]] = {
    "limit": ("0", "1", "-1", "9" * 30, "x", "1.5", ""),
    "continue": ("x", "=", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoieFx1MDAwMCJ9", "e30", "bnVsbA", "\ufffd"),
    "resourceVersion": ("0", "1", "-1", "5", "9" * 18, "9" * 30, "9" * 5000, "x", ""),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x", ""),
    "labelSelector": ("a=b", "a in (b,c)", "!a", "a,,b", "((", "a in ()", "=", "a>1", "a notin (", "\ufffd=\x00", "x" * 300),
    "fieldSelector": ("metadata.name=x", "status.phase!=Running", "a=b=c", "=", ",", "metadata.name=\\", "spec.nodeName="),
    "watch": ("0", "1", "true", "x"),
    "timeoutSeconds": ("0", "-1", "x", "9" * 30, "1"),
    "allowWatchBookmarks": ("true", "x"),
    "sendInitialEvents": ("true", "false", "x"),
    "dryRun": ("All", "x", ""),
    "fieldManager": ("m", "", "x" * 200, "\x00"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "x"),
    "force": ("true", "x", ""),
    "pretty": ("1", "x"),
    "gracePeriodSeconds": ("0", "-1", "x", "9" * 30),
    "propagationPolicy": ("Orphan", "Foreground", "Background", "x"),
    "orphanDependents": ("true", "x"),
    "container": ("c", "\x00"),
    "tailLines": ("-1", "x", "9" * 30),
}  # fmt: skip
DISCOVERY = ("/", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/apis/x/y", "/version", "/openapi/v2", "/metrics",
             "/openapi/v3", "/openapi/v3/api/v1", "/healthz", "/livez/x", "/api/v2/x", "//", "/api/v1//pods", "/podling/x")  # fmt: skip


_VALID = valid_objects()
_KINDS = {(kind.api_version, kind.kind): kind for kind in BUILTIN_KINDS}


@dataclass(slots=True)
class HostileRequest:
    """One request; `body` is encoded."""

    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def make_request(seed: int) -> HostileRequest:
    """The request of a seed."""
    return _Maker(random.Random(seed)).request()


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Where values are: the map or list and the key, in a fixed order."""
    for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        yield holder, key
        if isinstance(value, dict | list):
            yield from _places(value)


class _Maker:
    def __init__(self, chooser: random.Random) -> None:
        self._random = chooser
        self._choose = chooser.choice

    def request(self) -> HostileRequest:
        valid = copy.deepcopy(self._choose(_VALID)) if self._chance(0.6) else None
        kind = _KINDS[valid["apiVersion"], valid["kind"]] if valid else self._choose(BUILTIN_KINDS)
        method = self._choose(METHODS)
        headers = {"accept": self._choose(ACCEPTS) if self._chance(0.15) else "application/json"}
        names = self._some([*PARAMETERS], 3) if self._chance(0.3) else []
        query = [(name, self._choose(PARAMETERS[name])) for name in names]
        request = HostileRequest(method, self._path(kind, method), query, headers)
        if method == "PATCH":
            headers["content-type"] = self._choose(PATCH_TYPES if self._chance(0.95) else MEDIA)
            if self._chance(0.8):
                query.append(("fieldManager", "m"))
            request.body = self._encode(self._patch(kind, headers["content-type"], valid))
        elif method in ("POST", "PUT") or self._chance(0.2):
            headers["content-type"] = "application/json" if self._chance(0.9) else self._choose(MEDIA)
            request.body = self._encode(self._mutated(valid) if valid else self._object(kind))
        return request

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _some(self, items: list[str], count_max: int) -> list[str]:
        return self._random.sample(items, min(len(items), self._random.randrange(count_max + 1)))

    def _path(self, kind: Kind, method: str) -> str:
        if self._chance(0.03):
            return self._choose(DISCOVERY)
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        if kind.namespaced and self._chance(0.95):
            root += f"/namespaces/{self._choose(NAMESPACES)}"
        path = f"{root}/{kind.plural}"
        if self._chance(0.1 if method == "POST" else 0.9):
            path += "/" + (self._choose(NAMES) if self._chance(0.1) else self._choose("xxxy"))
            if self._chance(0.2):
                own = [item.name for item in kind.subresources if item.name != "proxy"]
                path += "/" + self._choose(own if own and self._chance(0.8) else SUBRESOURCES)
        return path

    def _encode(self, value: Any) -> bytes:
        body = json.dumps(value).encode()
        if self._chance(0.03):
            position = self._random.randrange(len(body) + 1)
            body = body[:position] + self._choose((b"\xff", b"\x00", b"{", b"]", b"")) + body[position + 1 :]
        return body

    # --- bodies ---------------------------------------------------------------------------------------------------

    def _object(self, kind: Kind) -> Any:
        """An object of the kind: of its fields, most of their types, sometimes of none."""
        junk_share = self._choose((0.0, 0.02, 0.1, 0.5))
        made = self._value(definition_schema(kind.definition), junk_share, depth=0)
        if not isinstance(made, dict):
            return made
        made.update({"apiVersion": kind.api_version, "kind": kind.kind})
        if self._chance(0.9):
            made["metadata"] = self._metadata(junk_share)
        return made

    def _metadata(self, junk_share: float) -> Any:
        schema = definition_schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
        made = self._value(schema, junk_share, depth=4) if self._chance(0.4) else {}
        if isinstance(made, dict):
            for name in ("resourceVersion", "uid", "namespace", "deletionTimestamp"):
                if self._chance(0.8):
                    made.pop(name, None)
            made["name"] = self._choose("xy") if self._chance(0.9) else self._choose(NAMES)
        return made

    def _value(self, schema: Schema | None, junk_share: float, *, depth: int) -> Any:
        if schema is None or self._chance(junk_share):
            return self._junk()
        if depth > 9:
            return None
        make: Callable[[], Any] | None = {
            "object": lambda: self._members(schema, junk_share, depth),
            "array": lambda: [self._value(schema.items, junk_share, depth=depth + 1) for _ in range(self._choose((0, 1, 1, 2)))],
            "integer": lambda: self._choose((0, 1, 2, 80, 443, 30000, -1, 2**31 - 1, 2**31, 2**62)),
            "number": lambda: self._choose((0, 1.5, -1)),
            "boolean": lambda: self._chance(0.5),
            "string": lambda: self._text(schema),
        }.get(schema.type)  # fmt: skip
        return make() if make else self._junk()

    def _members(self, schema: Schema, junk_share: float, depth: int) -> Any:
        if not schema.properties:
            return {self._choose(("a", "b", "x/y", "cpu", "memory", "", "A B")): self._value(schema.additional, junk_share, depth=depth + 1)
                    for _ in range(self._choose((0, 1, 2)))}  # fmt: skip
        names = {*(name for name in schema.required if self._chance(0.9)), *self._some([*schema.properties], 4)}
        return {name: self._value(schema.properties.get(name), junk_share, depth=depth + 1) for name in sorted(names)}

    def _text(self, schema: Schema) -> Any:
        if schema.enum and self._chance(0.8):
            return self._choose(schema.enum)
        if schema.format == "int-or-string":
            return self._choose((0, 80, "http", "50%", "-1%", ""))
        return self._choose(SCALARS[14:]) if self._chance(0.4) else self._choose("xyab")

    def _junk(self) -> Any:
        return self._choose(SCALARS) if self._chance(0.6) else copy.deepcopy(self._choose(EMPTY))

    def _mutated(self, obj: dict[str, Any]) -> Any:
        """The object with up to three of its values replaced, removed, doubled or put elsewhere."""
        for _ in range(self._choose((0, 1, 1, 1, 2, 3))):
            holder, key = self._choose(list(_places(obj)))
            change = self._choose(("junk", "junk", "remove", "null", "double", "swap", "add"))
            if change == "remove":
                del holder[key]
            elif change == "swap":
                other, other_key = self._choose(list(_places(obj)))
                holder[key] = copy.deepcopy(other[other_key])
            elif change == "double" and isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            elif change == "add" and isinstance(holder, dict):
                holder[self._choose(("x", "name", "labels", "metadata", "spec", "status", "selector"))] = self._junk()
            else:
                holder[key] = None if change == "null" else self._junk()
        return obj

    def _patch(self, kind: Kind, media: str, valid: dict[str, Any] | None) -> Any:
        if media == PATCH_TYPES[0] and self._chance(0.9):
            return [self._operation(kind) for _ in range(self._random.randrange(4))]
        made = self._mutated(valid) if valid else self._object(kind)
        if isinstance(made, dict) and self._chance(0.3):
            self._add_directive(made)
        return made

    def _operation(self, kind: Kind) -> Any:
        if self._chance(0.05):
            return self._junk()
        paths = ("/metadata/labels", "/metadata/name", "/spec", "/data/a", "", "/", "/spec/x/-", "/metadata/annotations/a~1b",
                 "/kind", "/metadata", "/status", "/spec/-1", "/spec/99999999999999999999", "/~2", "x", "/metadata/finalizers/-")  # fmt: skip
        made = {
            "op": self._choose(("add", "remove", "replace", "move", "copy", "test", "x")),
            "path": self._choose(paths),
        }
        if self._chance(0.8):
            made["value"] = self._value(definition_schema(kind.definition), 0.3, depth=5)
        if self._chance(0.5):
            made["from"] = self._choose(paths)
        return made

    def _add_directive(self, obj: dict[str, Any]) -> None:
        holder = obj
        for name in ("spec", "template", "spec"):
            if isinstance(holder.get(name), dict) and self._chance(0.6):
                holder = holder[name]
        directive = self._choose(("$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers",
                                  "$setElementOrder", "$x", "$setElementOrder/ports"))  # fmt: skip
        holder[directive] = self._choose(
            ("replace", "delete", "merge", [], ["x"], [{"name": "x"}], [None], 5, None, {})
        )
