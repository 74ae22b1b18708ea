"""The architecture as a test: import directions, pure modules, size limits, module docstrings, documented flags."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

# package → what of this repository it may import (its own package always); the longest matching prefix counts
ALLOWED_IMPORTS: dict[str, tuple[str, ...]] = {
    "control.api": (),
    "control.schema": ("control.api",),
    "control.client": ("control.api", "control.private_file"),
    "control.storage": ("control.api",),
    "control.auth": ("control.api", "control.private_file"),
    "control.apiserver": ("control.api", "control.schema", "control.storage", "control.auth"),
    "control.controllers": ("control.api", "control.client", "control.auth"),
    "control.scheduler": ("control.api", "control.client", "control.auth"),
    "control.cli": (
        "control.api",
        "control.client",
        "control.storage",
        "control.main",
        "control.config",
        "control.credentials",
        "control.private_file",
    ),
    "control.config": ("control.private_file",),
    "control.private_file": (),
    "control.lifeline": (),
    "control.process_lock": (),
    "control.credentials": ("control.auth", "control.client", "control.config", "control.private_file"),
    "control.main": ("control",),
    "control.own_parts": ("control",),
    "control.part_process": ("control",),
    "control.leading": ("control.api", "control.client"),
    "control.command_line": ("control",),
    "control.__main__": ("control",),
    "agent": ("control.api", "control.client", "control.private_file"),
    "agent.pause_image": (),
}
# agent.pods knows the runtime, volumes and network by their protocols
AGENT_PODS_ALLOWED = (
    "agent.pods",
    "agent.small_file",
    "agent.cgroups.protocol",
    "agent.runtime.protocol",
    "agent.runtime.hostname",
    "agent.runtime.gpus",
    "agent.runtime.identity",
    "agent.runtime.translate",
    "agent.runtime.resource_settings",
    "agent.runtime.security_settings",
    "agent.runtime.accounts",
    "agent.runtime.sysctls",
    "agent.runtime.images",
    "agent.runtime.image_reference",
    "agent.usage.container_usage",
    "agent.volumes.protocol",
    "agent.network.protocol",
)
PURE_MODULES = (
    "control.api",
    "control.schema",
    "control.apiserver.patch",
    "control.apiserver.registry.strategies",
    "control.scheduler.plugins",
    "control.auth.rbac",
    "agent.node.eviction.admission",
    "agent.node.eviction.local_limits",
    "agent.node.eviction.messages",
    "agent.node.eviction.pod_usage",
    "agent.node.eviction.pressure",
    "agent.node.eviction.ranking",
    "agent.node.eviction.signals",
    "agent.node.eviction.thresholds",
    "agent.node.reservations",
    "agent.pods.compute_actions",
    "agent.pods.compute_termination",
    "agent.pods.container_history",
    "agent.pods.container_status",
    "agent.pods.container_stop",
    "agent.pods.backoff",
    "agent.pods.resize",
    "agent.pods.env_file",
    "agent.pods.ended_status",
    "agent.pods.pod_conditions",
    "agent.pods.pod_phase",
    "agent.pods.pod_resources_status",
    "agent.pods.pod_status",
    "agent.pods.environment",
    "agent.runtime.translate",
    "agent.runtime.hostname",
    "agent.runtime.gpus",
    "agent.runtime.resource_settings",
    "agent.runtime.security_settings",
    "agent.runtime.accounts",
    "agent.runtime.sysctls",
    "agent.runtime.identity",
    "agent.node.node_features",
    "agent.node.security_admission",
    "agent.runtime.image_reference",
    "agent.runtime.pull_progress",
    "agent.images.garbage_plan",
    "agent.volumes.huge_pages",
    "agent.cgroups.limits",
    "agent.cgroups.layout",
    "agent.cgroups.control_files",
    "agent.cgroups.slices",
    "agent.network.addresses",
    "agent.network.host_port_rules",
    "agent.server.spdy.frames",
    "agent.usage.cadvisor_metrics",
    "agent.usage.container_usage",
    "agent.usage.own_metrics",
    "agent.usage.prometheus",
    "agent.usage.resource_metrics",
    "agent.usage.summary",
    "control.apiserver.extensions.resource_metrics.samples",
    "control.apiserver.extensions.resource_metrics.usage",
    "agent.server.spdy.header_dictionary",
)
IMPURE_EXCEPTIONS = ("control.api.clock",)
FORBIDDEN_IN_PURE = {
    "time", "random", "os", "socket", "subprocess", "threading", "asyncio", "sqlite3", "docker", "logging",
}  # fmt: skip
FORBIDDEN_FILE_NAMES = {"utils", "helpers", "common", "misc", "core", "base", "manager", "data", "process"}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def imports_of(path: Path, *, with_type_checking: bool = True) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    skipped: set[int] = set()
    if not with_type_checking:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                skipped |= {id(child) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


PRODUCT_FILES = python_files("control", "agent")
ALL_FILES = python_files("control", "agent", "tests", "benchmarks", "scripts")


@pytest.mark.parametrize("path", PRODUCT_FILES, ids=module_name)
def test_a_module_imports_only_what_its_package_may(path: Path) -> None:
    module = module_name(path)
    rules = [package for package in ALLOWED_IMPORTS if is_within(module, package)]
    if not rules:
        assert path.name == "__init__.py", f"{module} belongs to no package with import rules"
        return
    package = max(rules, key=len)
    allowed = (package, *ALLOWED_IMPORTS[package])
    for imported in imports_of(path):
        if imported.split(".")[0] in ("control", "agent") and imported not in ("control", "agent"):
            fits = any(is_within(imported, item) for item in allowed)
            assert fits, f"{module} may not import {imported}"


@pytest.mark.parametrize("path", python_files("agent/pods"), ids=module_name)
def test_pods_know_runtime_volumes_and_network_by_protocol(path: Path) -> None:
    for imported in imports_of(path, with_type_checking=False):
        if imported.startswith("agent.") and imported.count(".") >= 2:
            assert any(is_within(imported, item) for item in AGENT_PODS_ALLOWED), f"{path.name} imports {imported}"


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in PRODUCT_FILES
        if any(is_within(module_name(path), item) for item in PURE_MODULES)
        and module_name(path) not in IMPURE_EXCEPTIONS
    ],
    ids=module_name,
)
def test_a_pure_module_has_no_side_effects_to_import(path: Path) -> None:
    found = {name.split(".")[0] for name in imports_of(path, with_type_checking=False)} & FORBIDDEN_IN_PURE
    assert not found, f"{module_name(path)} is pure and may not import {sorted(found)}"


def test_only_one_file_imports_the_docker_sdk() -> None:
    importers = [
        module_name(path)
        for path in PRODUCT_FILES
        if any(name.split(".")[0] == "docker" for name in imports_of(path, with_type_checking=False))
    ]
    assert importers == ["agent.runtime.docker_sdk"]


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() == "control/api/types.py":
        return
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX, f"{path.name} has {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{path.name}: {node.name} has {lines} lines"


@pytest.mark.parametrize("path", PRODUCT_FILES, ids=module_name)
def test_modules_say_what_they_own_and_are_named_after_it(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{module_name(path)} has no docstring"
    assert path.stem not in FORBIDDEN_FILE_NAMES


@pytest.mark.parametrize("path", PRODUCT_FILES, ids=module_name)
def test_public_functions_declare_what_they_return(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            assert node.returns is not None, f"{path.name}: {node.name} has no return type"
