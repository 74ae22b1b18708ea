"""Make control/schema/go_fields.json: what upstream's Go records say of each field of the built-in kinds.

    python scripts/generate_go_fields.py /path/to/kubectl

For each definition of the packaged schemas: JSON field -> "<protobuf number> <presence> [<Go type>]", with presence
    p  pointer, left out when absent     e  left out when empty     z  record, left out when all its fields are empty
    a  always written                    n  always written, null when absent
The Go type is given where it does not follow from the schema (named strings, named maps). A field "" lists embedded
records that are a message of their own in protobuf but not in JSON. The binary may be older than the schemas: what it
lacks is taken from a prerelease version of the same record, then from `go_fields_supplement.json` beside this script,
and what is in neither is an error.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from go_binary import FLOATS, INTEGERS, INTERFACE, MAP, POINTER, SLICE, STRUCT, GoBinary, GoField, GoType

from control.schema.builtin import load_definitions

OUTPUT = Path(__file__).parent.parent / "control" / "schema" / "go_fields.json"
SUPPLEMENT = Path(__file__).parent / "go_fields_supplement.json"
_PRERELEASES = ("v1beta2", "v1beta1", "v1alpha1")
_PACKAGES = {"io.k8s.apimachinery.pkg.apis.meta": "k8s.io/apimachinery/pkg/apis/meta"}

Structs = dict[tuple[str, str], GoType]
Entries = dict[str, Any]


def _package_of(prefix: str) -> str:
    if prefix in _PACKAGES:
        return _PACKAGES[prefix]
    return prefix.replace("io.k8s.", "k8s.io/", 1).replace("k8s.io/api.", "k8s.io/api/")


def _definition_of(go_type: GoType) -> str:
    return go_type.package.replace("k8s.io/", "io.k8s.", 1).replace("/", ".") + "." + go_type.name.rpartition(".")[2]


def _find_struct(structs: Structs, definition: str) -> GoType | None:
    prefix, version, name = definition.rsplit(".", 2)
    for candidate in (version, *_PRERELEASES):
        found = structs.get((f"{_package_of(prefix)}/{candidate}", name))
        if found is not None:
            return found
    return None


def _tag(field: GoField, key: str) -> str:
    match = re.search(key + r':"([^"]*)"', field.tag)
    return match[1] if match else ""


def _presence(field: GoField, options: list[str]) -> str:
    kind = field.type.kind
    if "omitzero" in options:
        return "z" if kind == STRUCT else "e"
    if kind in (POINTER, INTERFACE):
        return "p" if "omitempty" in options else "n"
    if kind == STRUCT:
        return "a"
    return "e" if "omitempty" in options else "a"


def _is_scalar(go_type: GoType) -> bool:
    return go_type.kind not in (MAP, POINTER, SLICE, STRUCT, INTERFACE)


def _go_type_text(go_type: GoType) -> str:
    """Return the type's text if the schema cannot tell it."""
    if go_type.kind == POINTER and go_type.element is not None:
        return _go_type_text(go_type.element)
    if _is_scalar(go_type):
        plain = go_type.kind in INTEGERS or go_type.kind in FLOATS
        return go_type.name if go_type.named and "." in go_type.name else ("" if not plain else _number_text(go_type))
    if go_type.kind in (MAP, SLICE):
        if go_type.named:
            return go_type.name
        element = go_type.element
        while element is not None and element.kind in (MAP, SLICE, POINTER) and not element.named:
            element = element.element
        if element is not None and element.kind != STRUCT and "." in element.name:
            return go_type.name
    return ""


def _number_text(go_type: GoType) -> str:
    return "" if go_type.name in ("int32", "int64", "float64") else go_type.name


def _entries(go_type: GoType, structs: Structs, output: dict[str, Entries]) -> Entries:
    """Describe a struct; embedded structs are flattened, and described on their own if protobuf nests them."""
    result: Entries = {}
    inline: dict[str, str] = {}
    for field in go_type.fields:
        name, *options = _tag(field, "json").split(",")
        number = _tag(field, "protobuf").split(",")[1:2]
        if field.embedded and not name:
            inner = field.type.element if field.type.kind == POINTER else field.type
            if inner is None:
                continue
            flat = _entries(inner, structs, output)
            if number:
                inline[number[0]] = _definition_of(inner)
                output[_definition_of(inner)] = flat
            result.update({key: re.sub(r"^\d+", "0", text) for key, text in flat.items() if key})
        elif name and name != "-":
            parts = [number[0] if number else "0", _presence(field, options), _go_type_text(field.type)]
            result[name] = " ".join(part for part in parts if part)
    if inline:
        result[""] = inline
    return result


def generate(binary: Path) -> dict[str, Entries]:
    """Return the whole table. Raises SystemExit if a field is known to the schemas alone."""
    structs = GoBinary(binary).structs()
    supplement: dict[str, Entries] = json.loads(SUPPLEMENT.read_text())
    output: dict[str, Entries] = {}
    missing = []
    for definition, raw in load_definitions().items():
        version = definition.split(".")[-2]
        if "alpha" in version or "beta" in version or "properties" not in raw:
            continue
        found = _find_struct(structs, definition)
        entries = _entries(found, structs, output) if found else {}
        entries.update(supplement.get(definition, {}))
        output[definition] = {key: value for key, value in entries.items() if not key or key in raw["properties"]}
        missing += [f"{definition}.{name}" for name in raw["properties"] if name not in entries]
    for definition in supplement.keys() & output.keys() - load_definitions().keys():
        output[definition].update(supplement[definition])
    if missing:
        raise SystemExit("no facts about these fields; add them to the supplement:\n" + "\n".join(missing))
    return dict(sorted(output.items()))


def format_table(table: dict[str, Entries]) -> str:
    """Write the table with one record a line."""
    lines = [f"{json.dumps(name)}:{json.dumps(entries, separators=(',', ':'))}" for name, entries in table.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    """Write the table."""
    table = generate(Path(sys.argv[1]))
    OUTPUT.write_text(format_table(table))
    print(f"{OUTPUT}: {len(table)} records")


if __name__ == "__main__":
    main()
