"""Make control/api/types.py: TypedDicts of the kinds that Podling's own code handles.

    python scripts/generate_types.py [--check]

Names and fields are those of the packaged definitions; every field may be absent, as in an object that is being made.
`--check` fails if the file is not what this script makes.
"""

from __future__ import annotations

import argparse
import keyword
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from control.schema.builtin import load_definitions

OUTPUT = Path(__file__).parent.parent / "control" / "api" / "types.py"
_ROOTS = (
    "io.k8s.api.apps.v1.Deployment",
    "io.k8s.api.apps.v1.ReplicaSet",
    "io.k8s.api.coordination.v1.Lease",
    "io.k8s.api.core.v1.Binding",
    "io.k8s.api.core.v1.ConfigMap",
    "io.k8s.api.core.v1.Event",
    "io.k8s.api.core.v1.Namespace",
    "io.k8s.api.core.v1.Node",
    "io.k8s.api.core.v1.Pod",
    "io.k8s.api.core.v1.Secret",
    "io.k8s.api.core.v1.Service",
    "io.k8s.api.core.v1.ServiceAccount",
)
_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
#: Definitions that are no records: how their values look in JSON.
_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "str",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int | str",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "str",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "str",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "dict[str, Any]",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "Any",
}
_HEADER = '''"""TypedDicts of the kinds that Podling's own code handles. Made by scripts/generate_types.py: do not edit.

Every field may be absent. Times and quantities are texts, as on the wire. Import this under TYPE_CHECKING: making the
classes takes longer than anything else at start-up.
"""

from __future__ import annotations

from typing import Any, TypedDict
'''


class Generator:
    """Collects the records that the roots reach, and writes each once."""

    def __init__(self, definitions: Mapping[str, Mapping[str, Any]]) -> None:
        self._definitions = definitions
        self._records: dict[str, str] = {}

    def generate(self) -> str:
        """Return the text of the module."""
        for root in _ROOTS:
            self._add(root)
        return _HEADER + "".join(f"\n\n{self._records[name]}" for name in sorted(self._records))

    def _add(self, definition: str) -> str:
        """Write a record and all it refers to; return its name."""
        name = definition.rpartition(".")[2]
        if name not in self._records:
            self._records[name] = ""
            properties = self._definitions[definition]["properties"]
            fields = {field: self._type(raw) for field, raw in sorted(properties.items())}
            self._records[name] = _class_text(name, fields)
        return name

    def _type(self, raw: Mapping[str, Any]) -> str:
        if "$ref" in raw:
            target = raw["$ref"].rpartition("/")[2]
            return _SPECIAL.get(target) or self._add(target)
        declared = raw.get("type", "")
        kind = declared[0] if isinstance(declared, list) else declared
        if kind == "array":
            return f"list[{self._type(raw['items'])}]"
        if kind == "object":
            return f"dict[str, {self._type(raw['additionalProperties'])}]"
        return _SCALARS.get(kind, "Any")


def _class_text(name: str, fields: Mapping[str, str]) -> str:
    if any(not field.isidentifier() or keyword.iskeyword(field) for field in fields):
        # A field that is no Python name needs the other notation, whose types are evaluated at once.
        lines = "".join(f'        "{field}": "{type_}",\n' for field, type_ in fields.items())
        return f'{name} = TypedDict(\n    "{name}",\n    {{\n{lines}    }},\n    total=False,\n)\n'
    lines = "".join(f"    {field}: {type_}\n" for field, type_ in fields.items()) or "    pass\n"
    return f"class {name}(TypedDict, total=False):\n{lines}"


def main() -> int:
    """Write the module, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the file is stale")
    arguments = parser.parse_args()
    text = Generator(load_definitions()).generate()
    if arguments.check:
        if OUTPUT.read_text() == text:
            return 0
        print(f"{OUTPUT} is stale: run scripts/generate_types.py", file=sys.stderr)
        return 1
    OUTPUT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
