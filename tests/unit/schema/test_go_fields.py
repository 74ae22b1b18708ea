from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from control.schema.builtin import load_definitions
from control.schema.go_fields import TABLE_PATH, embedded_messages, field_facts
from control.schema.structural import Presence

ROOT = Path(__file__).resolve().parents[3]
KUBECTL = Path("/usr/lib/google-cloud-sdk/bin/kubectl.1.33")


def is_released(definition: str) -> bool:
    version = definition.split(".")[-2]
    return "alpha" not in version and "beta" not in version


def released_definitions() -> list[str]:
    return [name for name, raw in load_definitions().items() if "properties" in raw and is_released(name)]


def test_every_field_of_every_released_definition_has_facts() -> None:
    definitions = load_definitions()
    for name in released_definitions():
        assert definitions[name]["properties"].keys() == field_facts(name).keys(), name


def test_no_message_uses_a_field_number_twice() -> None:
    for name in released_definitions():
        numbers = [facts.number for facts in field_facts(name).values() if facts.number]
        numbers += embedded_messages(name)
        assert [number for number, count in Counter(numbers).items() if count > 1] == [], name


def test_facts_tell_presence_and_type_names() -> None:
    facts = field_facts("io.k8s.api.core.v1.Container")
    assert facts["resources"].presence is Presence.ALWAYS
    assert facts["image"].presence is Presence.OMIT_EMPTY
    assert facts["securityContext"].presence is Presence.OPTIONAL
    assert facts["imagePullPolicy"].go_type == "v1.PullPolicy"
    modes = field_facts("io.k8s.api.core.v1.PersistentVolumeSpec")["accessModes"]
    assert (modes.go_type, modes.items.go_type) == (
        "[]v1.PersistentVolumeAccessMode",
        "v1.PersistentVolumeAccessMode",
    )


@pytest.mark.skipif(not KUBECTL.exists(), reason="the kubectl that the table was made from is not installed")
def test_the_table_is_what_its_generator_makes() -> None:
    script = "import sys; sys.path.insert(0, 'scripts'); import generate_go_fields as g; from pathlib import Path\n"
    script += "sys.stdout.write(g.format_table(g.generate(Path(sys.argv[1]))))"
    command = [sys.executable, "-c", script, str(KUBECTL)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    assert made.stdout == TABLE_PATH.read_text(), "run scripts/generate_go_fields.py"
