"""YAML in both directions, in the style of Go's sigs.k8s.io/yaml. Imported only when a request or answer is YAML."""

from __future__ import annotations

import base64
import math
import re
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    """Sorted keys, `|` blocks for texts of several lines, double quotes for texts that would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _implicit_tag(dumper: Any, text: str) -> str:
    return str(dumper.resolve(yaml.ScalarNode, text, (True, False)))


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif _implicit_tag(dumper, text) != "tag:yaml.org,2002:str":
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(value: Any) -> bytes:
    """Encode a JSON value."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, sort_keys=True, width=2**31, allow_unicode=True
    )
    return text.encode()


class _StrictLoader(_Loader):  # type: ignore[misc]
    """Keeps timestamps as text, as JSON has none, and notes duplicate keys."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.duplicates: list[tuple[int, str]] = []

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if isinstance(key, str):
                if key in seen:
                    self.duplicates.append((key_node.start_mark.line + 1, key))
                seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return {_key_text(key): value for key, value in mapping.items()}


_INTEGER_TAG, _FLOAT_TAG = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
#: Go's numbers. PyYAML's are those of YAML 1.1, in which `12:30` is 750, `1e3` a text, and `1:1:1...` takes for ever.
_INTEGER = re.compile(r"[-+]?(0b[01][01_]*|0x[0-9a-fA-F][0-9a-fA-F_]*|0o?[0-7][0-7_]*|0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z|[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_NOT_GO = frozenset({"tag:yaml.org,2002:timestamp", _INTEGER_TAG, _FLOAT_TAG})
#: No number of 64 bits has more digits than its binary form, sign and prefix.
_INTEGER_LENGTH_MAX = 67


def _go_resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    resolvers = {
        first: [(tag, regexp) for tag, regexp in given if tag not in _NOT_GO]
        for first, given in _Loader.yaml_implicit_resolvers.items()
    }
    for first in "-+.0123456789":
        resolvers.setdefault(first, []).extend([(_INTEGER_TAG, _INTEGER), (_FLOAT_TAG, _FLOAT)])
    return resolvers


def _construct_integer(loader: Any, node: Any) -> int | float | str:
    """An integer of 64 bits, else the nearest float, else (there is none) the text, as Go's reader."""
    text: str = loader.construct_scalar(node).replace("_", "")
    digits = text.lstrip("+-").lower()
    if len(digits) <= _INTEGER_LENGTH_MAX:
        if digits[:1] == "0" and digits[1:].isdigit():
            digits = "0o" + digits[1:]
        value = int(digits, 0) * (-1 if text.startswith("-") else 1)
        if -(2**63) <= value < 2**64:
            return value
    return _construct_float(loader, node)


def _construct_float(loader: Any, node: Any) -> float | str:
    text: str = loader.construct_scalar(node)
    if not _FLOAT.match(text):
        return text
    value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if math.isfinite(value):
        return value
    if text[-1].isdigit():
        return text  # beyond the range of a float
    raise YamlError(f"json: unsupported value: {text}")


def _construct_binary(loader: Any, node: Any) -> str:
    return base64.b64decode(loader.construct_scalar(node)).decode(errors="replace")


_StrictLoader.yaml_implicit_resolvers = _go_resolvers()
# What YAML knows and JSON does not is read as what it is written as.
_StrictLoader.add_constructor("tag:yaml.org,2002:binary", _construct_binary)
_StrictLoader.add_constructor("tag:yaml.org,2002:set", _StrictLoader.construct_yaml_map)
_StrictLoader.add_constructor("tag:yaml.org,2002:omap", _StrictLoader.construct_yaml_seq)
_StrictLoader.add_constructor("tag:yaml.org,2002:pairs", _StrictLoader.construct_yaml_seq)
_StrictLoader.add_constructor("tag:yaml.org,2002:timestamp", _StrictLoader.construct_yaml_str)
_StrictLoader.add_constructor(_INTEGER_TAG, _construct_integer)
_StrictLoader.add_constructor(_FLOAT_TAG, _construct_float)


def _key_text(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


class YamlError(ValueError):
    """A text that is no YAML; the message is what follows `yaml: ` in upstream's."""


#: Values that a document may have when its aliases are written out, as Go's reader counts them, and how many times more
#: than it has as it stands.
_EXPANDED_MAX, _EXPANSION_MAX = 400_000, 10


def _check_aliases(value: Any) -> None:
    """Refuse a document whose aliases stand for far more than it says. Raises YamlError."""
    sizes: dict[int, int] = {}
    open_values: set[int] = set()

    def measure(item: Any) -> int:
        if not isinstance(item, dict | list):
            return 1
        identity = id(item)
        if identity not in sizes:
            if identity in open_values:
                raise YamlError("an anchor's value contains itself")
            open_values.add(identity)
            sizes[identity] = 1 + sum(map(measure, item.values() if isinstance(item, dict) else item))
            open_values.remove(identity)
        return sizes[identity]

    if measure(value) > max(_EXPANDED_MAX, _EXPANSION_MAX * len(sizes)):
        raise YamlError("document contains excessive aliasing")


def load_yaml(text: bytes) -> tuple[Any, list[tuple[int, str]]]:
    """Decode one YAML document into JSON values; also returns duplicate keys as (line, key). Raises YamlError."""
    loader = _StrictLoader(text)
    try:
        value = loader.get_single_data()
        if b"*" in text:
            _check_aliases(value)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark and error.problem_mark.line else ""
        raise YamlError(f"{line}{error.problem or 'could not be read'}") from error
    except YamlError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(str(error)) from error
    finally:
        loader.dispose()
    return value, loader.duplicates
