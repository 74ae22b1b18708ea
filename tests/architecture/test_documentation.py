"""The documentation as a test: what the code has, the documents name, and what they name, the code has."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import typer

from agent.main import make_parser as make_agent_parser
from agent.runtime.unsupported_fields import HANDLED
from agent.volumes.docker_volume import DOCKER_TYPES
from agent.volumes.pod_volumes import CLAIM_TYPES, CLAIMED_TYPES, CONTENT_TYPES, PLACE_TYPES
from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.clock import SystemClock
from control.apiserver.admission.plugins import make_plugins
from control.apiserver.registry.served_kind import KindRegistry
from control.apiserver.registry.subresources.table import SUBRESOURCE_HANDLERS
from control.cli.main import app
from control.command_line import make_parser as make_control_parser
from control.controllers import CONTROLLERS
from control.scheduler.plugins import default_profile
from control.schema.builtin import definition_schema

ROOT = Path(__file__).resolve().parents[2]
COMPATIBILITY = ROOT / "docs" / "compatibility.md"
COMMANDS = ROOT / "docs" / "commands.md"

CORE = "io.k8s.api.core.v1."
FIELD_SECTIONS = (
    "PodSpec",
    "Container",
    "ContainerPort",
    "EnvVarSource",
    "ResourceRequirements",
    "Probe",
    "Lifecycle",
    "LifecycleHandler",
    "SecurityContext",
    "PodSecurityContext",
    "Volume",
    "EmptyDirVolumeSource",
    "VolumeProjection",
    "VolumeMount",
    "PodStatus",
    "ContainerStatus",
)
FIELD_STATES = {"works", "differs", "refused", "reported", "not set"}
CONTAINER = HANDLED["containers"] or {}
#: sections whose fields the agent either carries out or refuses by name
HANDLED_SECTIONS = {
    "PodSpec": HANDLED,
    "Container": CONTAINER,
    "Probe": CONTAINER["livenessProbe"],
    "SecurityContext": CONTAINER["securityContext"],
    "VolumeMount": CONTAINER["volumeMounts"],
    "PodSecurityContext": HANDLED["securityContext"],
    "Volume": HANDLED["volumes"],
}
Row = list[str]


def rows_of(section: str, document: Path = COMPATIBILITY) -> dict[str, Row]:
    """The rows of the first table below a heading, by the code in their first column."""
    text = document.read_text()
    match = re.search(rf"^#+ {re.escape(section)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"{document.name} has no section {section!r}"
    rows: dict[str, Row] = {}
    for line in match[1].splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            name = cells[0].strip("`")
            assert name not in rows or section == "Kinds", f"{section}: two rows for {name}"
            rows[name] = cells[1:]
    return rows


def kind_rows() -> set[tuple[str, str]]:
    """(kind, group/version) of every row of the table of kinds."""
    section = COMPATIBILITY.read_text().split("\n## Kinds\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \| (\S+) \| \S", section, re.MULTILINE))


@pytest.mark.parametrize("section", FIELD_SECTIONS)
def test_every_field_of_the_schema_has_a_row_and_every_row_a_field(section: str) -> None:
    rows = rows_of(section)
    assert set(rows) == set(definition_schema(CORE + section).properties)
    assert {row[0] for row in rows.values()} <= FIELD_STATES


def test_an_ephemeral_container_has_the_fields_of_a_container_and_those_of_its_section() -> None:
    fields = set(definition_schema(CORE + "EphemeralContainer").properties)
    assert set(rows_of("EphemeralContainer")) == fields - set(rows_of("Container"))
    assert set(rows_of("Container")) <= fields


@pytest.mark.parametrize("type_name", rows_of("Parts of fields"))
def test_a_part_of_a_field_lists_its_fields(type_name: str) -> None:
    state, fields, _ = rows_of("Parts of fields")[type_name]
    assert set(re.findall(r"`(\w+)`", fields)) == set(definition_schema(CORE + type_name).properties)
    assert state in FIELD_STATES


@pytest.mark.parametrize(("section", "handled"), HANDLED_SECTIONS.items(), ids=HANDLED_SECTIONS)
def test_a_row_says_refused_where_the_agent_refuses(section: str, handled: Mapping[str, object]) -> None:
    for name, row in rows_of(section).items():
        assert (name in handled) == (row[0] in ("works", "differs")), f"{section}.{name} is {row[0]!r}"


def test_the_volume_types_that_work_are_those_of_the_catalogue() -> None:
    working = {name for name, row in rows_of("Volume").items() if row[0] in ("works", "differs")} - {"name"}
    assert working == {*CONTENT_TYPES, *PLACE_TYPES, *CLAIM_TYPES, *DOCKER_TYPES}


def test_the_sources_of_persistent_volumes_that_work_are_those_of_the_catalogue() -> None:
    working = {name for name, row in rows_of("PersistentVolume").items() if row[0] in ("works", "differs")}
    assert working == {*PLACE_TYPES, *CLAIMED_TYPES, *DOCKER_TYPES} - {"emptyDir", "image"}


def test_every_kind_has_a_row_and_every_row_a_kind() -> None:
    assert kind_rows() == {(kind.kind, kind.api_version) for kind in BUILTIN_KINDS}


def test_every_subresource_has_a_row() -> None:
    assert set(rows_of("Subresources")) == set(SUBRESOURCE_HANDLERS)


def test_every_controller_has_a_row() -> None:
    assert set(rows_of("Controllers")) == set(CONTROLLERS)


def test_every_admission_plugin_has_a_row() -> None:
    plugins = make_plugins(KindRegistry(), profile="default", random=Random(0), clock=SystemClock())
    assert list(rows_of("Admission plugins")) == [plugin.name for plugin in plugins]


def test_every_scheduler_plugin_has_a_row() -> None:
    profile = default_profile()
    names = {
        plugin.name for plugin in (*profile.pre_enqueue, *profile.pre_filter, *profile.filter, *profile.score)
    }  # fmt: skip
    assert set(rows_of("Scheduler plugins")) == names


def cli_commands(command: Any, path: str = "podling") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its full name."""
    children: Mapping[str, Any] = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name, child in children.items():
        yield from cli_commands(child, f"{path} {name}")


CLI_COMMANDS = dict(cli_commands(typer.main.get_command(app)))


@pytest.mark.parametrize(("path", "command"), CLI_COMMANDS.items(), ids=CLI_COMMANDS)
def test_every_option_of_a_command_is_documented(path: str, command: Any) -> None:
    rows = rows_of(path, COMMANDS)
    options = {
        max(parameter.opts, key=len) if parameter.default is not True else parameter.secondary_opts[0]
        for parameter in command.params
        if parameter.param_type_name == "option"
    }
    assert {name.split()[0] for name in rows if name.startswith("-")} == options
    assert {name for name in rows if name.isupper()} == {
        str(parameter.name).upper() for parameter in command.params if parameter.param_type_name == "argument"
    }


@pytest.mark.parametrize("command", ["control scheduler", "control controllers", "agent run"])
def test_every_flag_of_a_part_is_documented(command: str) -> None:
    program, name = command.split()
    parser = make_control_parser() if program == "control" else make_agent_parser()
    assert options_in(f"python -m {command}") == flags_of(parser, name)


def options_in(section: str) -> set[str]:
    """The options that a section of the page of commands has rows for."""
    return {name.split()[0].partition("=")[0] for name in rows_of(section, COMMANDS) if name.startswith("-")}


def flags_of(parser: argparse.ArgumentParser, command: str) -> set[str]:
    """The long options of a command but `--help`."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    actions = commands.choices[command]._actions
    return {option for action in actions for option in action.option_strings if option.startswith("--")} - {"--help"}


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    for path in CLI_COMMANDS:
        *parents, name = path.split()
        pattern = rf"`{' '.join(parents)} [^`]*\b{name}\b"
        assert re.search(pattern, text), f"README.md does not name {path!r}"


def test_every_make_target_is_documented() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(rows_of("make", COMMANDS)) == targets


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLANS = "## Where the next rooms go"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_places_and_links_of_the_documents_exist(path: Path) -> None:
    text = path.read_text()
    before, _, after = text.partition(PLANS)
    text = before + after[after.find("\n## ") :] if after else before  # plans name what is not built yet
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
    for place in re.findall(r"`((?:control|agent|tests|docs|scripts|benchmarks|manifests)/[\w./-]+)`", text):
        assert (ROOT / place).exists(), f"{path.name} names {place}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_sections_lead_to_a_heading(path: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", path.read_text()):
        text = (path.parent / target if target else path).read_text()
        headings = {
            re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        }
        assert anchor in headings, f"{path.name} links to {target}#{anchor}"


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
