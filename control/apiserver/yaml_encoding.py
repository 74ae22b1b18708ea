"""YAML in both directions, in the style of Go's sigs.k8s.io/yaml. Imported only when a request or answer is YAML."""

from __future__ import annotations

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


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _key_text(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


class YamlError(ValueError):
    """A text that is no YAML; the message is what follows `yaml: ` in upstream's."""


def load_yaml(text: bytes) -> tuple[Any, list[tuple[int, str]]]:
    """Decode one YAML document into JSON values; also returns duplicate keys as (line, key). Raises YamlError."""
    loader = _StrictLoader(text)
    try:
        value = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark and error.problem_mark.line else ""
        raise YamlError(f"{line}{error.problem or 'could not be read'}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(str(error)) from error
    finally:
        loader.dispose()
    return value, loader.duplicates
