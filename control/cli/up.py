"""`podling up`: start a cluster, or repair and continue one that exists. Idempotent."""

from __future__ import annotations

import platform
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from control.cli import ranges
from control.cli.api_probe import ApiProbe, wait_until
from control.cli.clusters import (
    DEFAULT_NAME,
    ClusterName,
    DataDirectory,
    cluster_directory,
    exclusive,
    list_clusters,
    load_cluster,
    ports_of_others,
)
from control.cli.down import clean_up
from control.cli.failure import CommandError
from control.cli.host_lock import choosing_on_host
from control.cli.node_choice import NODES_MAX, add_node, parse_kubelet_args
from control.cli.progress import step
from control.cli.supervisor_client import ask, start_supervisor, stop_supervisor, write_processes
from control.config import ClusterConfig, ClusterDirectory, ConfigError, Profile

KERNEL_MINIMUM = (4, 19)
PORT_SECONDS_MAX = 10.0
API_SECONDS_MAX = 60.0
NODES_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What the user asked for; None means "as it is, or the default for a new cluster"."""

    name: str
    nodes: int | None
    profile: Profile | None
    data_dir: Path | None
    controllers: bool
    scheduler: bool
    node_verification: bool
    metrics: bool
    token_auth_file: Path | None
    service_cidr: str | None
    pod_cidr: str | None
    kubelet_args: list[str]


def up(
    name: ClusterName = DEFAULT_NAME,
    nodes: Annotated[
        int | None, typer.Option(min=0, max=NODES_MAX, help="Number of nodes (a new cluster has 1).")
    ] = None,
    profile: Annotated[
        Literal["default", "upstream"] | None,
        typer.Option(help="upstream: shareProcessNamespace and all timings as in upstream Kubernetes."),
    ] = None,
    data_dir: DataDirectory = None,
    foreground: Annotated[bool, typer.Option(help="Stay in the foreground; Ctrl-C ends the processes.")] = False,
    controllers: Annotated[bool, typer.Option(help="Run the controllers.")] = True,
    scheduler: Annotated[bool, typer.Option(help="Run the scheduler.")] = True,
    node_verification: Annotated[
        bool, typer.Option(help="Accept only serving certificates of the cluster's authority from nodes.")
    ] = True,
    metrics: Annotated[bool, typer.Option(help="Serve metrics.k8s.io (kubectl top) as a metrics-server does.")] = True,
    token_auth_file: Annotated[
        Path | None, typer.Option(help="Static bearer tokens, in kube-apiserver's CSV format.")
    ] = None,
    service_cidr: Annotated[str | None, typer.Option(help="Range of Service addresses.")] = None,
    pod_cidr: Annotated[str | None, typer.Option(help="Range of Pod addresses, a /24 per node.")] = None,
    kubelet_arg: Annotated[
        list[str] | None, typer.Option(help="Flag of every node's agent, NAME=VALUE; repeatable.")
    ] = None,
) -> None:
    """Start a cluster, or bring back and repair the one that exists."""
    options = UpOptions(
        name=name,
        nodes=nodes,
        profile=profile,
        data_dir=data_dir,
        controllers=controllers,
        scheduler=scheduler,
        node_verification=node_verification,
        metrics=metrics,
        token_auth_file=token_auth_file,
        service_cidr=service_cidr,
        pod_cidr=pod_cidr,
        kubelet_args=parse_kubelet_args(kubelet_arg or ()),
    )
    directory = cluster_directory(name, data_dir)
    with exclusive(directory):
        started = time.monotonic()
        config = bring_up(directory, options)
        print(f"Cluster {name!r} is ready after {time.monotonic() - started:.1f} s. Try: kubectl get pods -A")
        for line in missing_parts(directory, config):
            print(line)
    if foreground:
        stay_in_foreground(directory, config)


def bring_up(directory: ClusterDirectory, options: UpOptions) -> ClusterConfig:
    """Do the whole work of `up`. Raises CommandError with nothing half-started."""
    existing = load_cluster(directory)
    chooses = existing is None or (options.nodes or 0) > len(existing.nodes)
    # While a control plane restarts its port looks free to others who choose one.
    restarts = existing is not None and has_other_settings(existing, options)
    with choosing_on_host() if chooses or restarts else nullcontext():
        try:
            config = _start(directory, options, existing)
        except BaseException:
            if existing is None:
                _forget_failed(directory)
            raise
    merge_kubeconfig(directory, config)
    return config


def _start(directory: ClusterDirectory, options: UpOptions, existing: ClusterConfig | None) -> ClusterConfig:
    answer = ask(directory, "status") if existing else None
    config = plan_config(directory, options, existing, running=answer is not None)
    # Agents that run already have asked the engine themselves.
    engine_check = start_engine_check() if config.nodes and answer is None else None
    # Meant to run while the engine is being asked: making keys and importing cryptography takes as long.
    from control.credentials import ensure_credentials

    if engine_check is not None:
        finish_engine_check(engine_check)
    ensure_credentials(directory, config)
    directory.save(config)
    write_processes(directory, config)
    try:
        if answer is None:
            start_supervisor(directory)
        else:
            ask(directory, "reload")
            if existing is not None and has_other_settings(existing, options):
                restart_control(directory)
            if existing is not None and existing.kubelet_args != config.kubelet_args:
                restart_agents(directory, existing)
        wait_for_api(directory, config)
        wait_for_nodes(directory, config)
    except (CommandError, KeyboardInterrupt):
        if answer is None:
            stop_supervisor(directory)
        raise
    return config


def _forget_failed(directory: ClusterDirectory) -> None:
    """Undo a first start that failed: containers, links, rules, keys, configuration. The logs stay, they say why."""
    if not directory.root.exists():
        return
    try:
        stop_supervisor(directory)
        config = directory.load()
        if config is not None and config.nodes:
            clean_up(directory, directory.root.name, keep_volumes=False)
    except (CommandError, subprocess.TimeoutExpired) as cause:
        # The configuration stays: `podling delete` needs it to finish what could not be done now.
        print(f"podling: cannot undo the failed start: {cause}", file=sys.stderr)
        return
    for path in directory.root.iterdir():
        if path.is_dir() and path != directory.logs:
            shutil.rmtree(path)
        elif path.is_file() or path.is_socket():
            path.unlink()


def plan_config(
    directory: ClusterDirectory, options: UpOptions, existing: ClusterConfig | None, *, running: bool
) -> ClusterConfig:
    """Choose the configuration: a new one, or the existing one with what may change changed."""
    others = [item for item in list_clusters(options.data_dir) if item.name != options.name]
    ports = ports_of_others(options.name, options.data_dir)
    if existing is None:
        check_kernel(platform.system(), platform.release())
        return _new_config(options, others, ports)
    for given, kept, flag in (
        (options.profile, existing.profile, "--profile"),
        (options.pod_cidr, existing.pod_cidr, "--pod-cidr"),
        (options.service_cidr, existing.service_cidr, "--service-cidr"),
    ):
        if given is not None and given != kept:
            raise CommandError(
                f"cluster {options.name!r} exists with {flag} {kept}", f"podling delete --name {options.name} first"
            )
    if not running:
        for port in [existing.port, *(node.port for node in existing.nodes)]:
            # A control plane whose supervisor was killed ends by itself, a moment later.
            if not wait_until(partial(ranges.is_port_free, port), seconds_max=PORT_SECONDS_MAX, give_up=lambda: False):
                raise CommandError(f"port {port} of cluster {options.name!r} is in use", "end what listens there")
    config = existing.copy()
    config.controllers, config.scheduler = options.controllers, options.scheduler
    config.node_verification, config.metrics = options.node_verification, options.metrics
    if options.token_auth_file is not None:
        config.token_auth_file = _token_file(options.token_auth_file)
    config.kubelet_args = options.kubelet_args or config.kubelet_args
    wanted = len(config.nodes) if options.nodes is None else options.nodes
    if wanted < len(config.nodes):
        raise CommandError(
            f"cluster {options.name!r} has {len(config.nodes)} nodes and cannot shrink to {wanted}",
            "podling node remove takes one away",
        )
    while len(config.nodes) < wanted:
        add_node(config, ports)
    return config


def _new_config(options: UpOptions, others: list[ClusterConfig], ports: set[int]) -> ClusterConfig:
    taken = [*ranges.observe_routes(), *(cidr for item in others for cidr in (item.pod_cidr, item.service_cidr))]
    for wanted in filter(None, (options.pod_cidr, options.service_cidr)):
        try:
            overlap = ranges.find_overlap(wanted, taken)
        except ValueError as error:
            raise CommandError(f"{wanted!r} is not an IPv4 range", str(error)) from error
        if overlap:
            raise CommandError(f"range {wanted} overlaps {overlap}, which this host uses", "choose another range")
    pod_cidr = options.pod_cidr or ranges.choose_range(
        ranges.POD_RANGES, [*taken, *filter(None, [options.service_cidr])]
    )
    port = ranges.choose_port(ranges.API_PORT_FIRST, ports, ranges.is_port_free)
    try:
        config = ClusterConfig(
            name=options.name,
            profile=options.profile or "default",
            port=port,
            pod_cidr=pod_cidr,
            service_cidr=options.service_cidr or ranges.choose_range(ranges.SERVICE_RANGES, [*taken, pod_cidr]),
            controllers=options.controllers,
            scheduler=options.scheduler,
            node_verification=options.node_verification,
            metrics=options.metrics,
            token_auth_file=_token_file(options.token_auth_file) if options.token_auth_file else None,
            kubelet_args=options.kubelet_args,
        )
    except ConfigError as error:
        raise CommandError(str(error), "choose another") from error
    for _ in range(1 if options.nodes is None else options.nodes):
        add_node(config, ports)
    return config


def _token_file(path: Path) -> str:
    if not path.is_file():
        raise CommandError(f"there is no token file {path}", "pass a file in kube-apiserver's CSV format")
    return str(path.resolve())


def check_kernel(system: str, release: str) -> None:
    """Refuse a Linux that is too old for what Pods need. Raises CommandError."""
    numbers = [int(part) for part in release.replace("-", ".").split(".")[:2] if part.isdigit()]
    if system == "Linux" and len(numbers) == 2 and tuple(numbers) < KERNEL_MINIMUM:
        minimum = ".".join(map(str, KERNEL_MINIMUM))
        raise CommandError(f"Linux {release} is too old, Podling needs {minimum}", "update the kernel")


def start_engine_check() -> subprocess.Popen[bytes]:
    """Begin asking the Docker Engine, in a process of the agent."""
    return subprocess.Popen([sys.executable, "-m", "agent", "check"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish_engine_check(process: subprocess.Popen[bytes]) -> None:
    """Wait for the answer. Raises CommandError with the agent's one-line explanation."""
    output, errors = process.communicate(timeout=60)
    if process.returncode != 0:
        lines = (errors or output).decode(errors="replace").strip().splitlines()
        raise CommandError(lines[-1].removeprefix("podling: ") if lines else "the Docker Engine check failed")


def has_other_settings(config: ClusterConfig, options: UpOptions) -> bool:
    """Whether the control plane was started with other settings than are asked for now."""
    tokens = options.token_auth_file
    return (
        (config.controllers, config.scheduler) != (options.controllers, options.scheduler)
        or (config.node_verification, config.metrics) != (options.node_verification, options.metrics)
        or (tokens is not None and config.token_auth_file != str(tokens.resolve()))
    )


def restart_control(directory: ClusterDirectory) -> None:
    """Let the control plane read its settings anew; Pods run on. Raises CommandError."""

    def pid() -> int:
        answer = ask(directory, "status") or {"processes": []}
        return next((item["pid"] for item in answer["processes"] if item["name"] == "control"), 0)

    before = pid()
    ask(directory, "restart", name="control")
    with step("Restarting the control plane with other settings"):
        if not wait_until(lambda: pid() not in (0, before), seconds_max=API_SECONDS_MAX, give_up=lambda: False):
            raise CommandError("the control plane did not restart", _last_line(directory, "control"))


def restart_agents(directory: ClusterDirectory, config: ClusterConfig) -> None:
    """Let the agents of the nodes start with other flags; Pods run on."""
    for node in config.nodes:
        if not node.halted:
            ask(directory, "restart", name=f"agent-{node.name}")


def wait_for_api(directory: ClusterDirectory, config: ClusterConfig) -> None:
    """Wait until the API server is ready. Raises CommandError with the last line of its log."""
    probe = ApiProbe(directory, config)
    with step(f"API server at {config.server_url}"):
        if not wait_until(probe.is_ready, seconds_max=API_SECONDS_MAX, give_up=lambda: _has_failed(directory)):
            raise CommandError("the API server did not become ready", _last_line(directory, "control"))
    probe.close()


def wait_for_nodes(directory: ClusterDirectory, config: ClusterConfig) -> None:
    """Wait until every node that is not halted is Ready; without controllers it gets no Pod range: registered."""
    wanted = {node.name for node in config.nodes if not node.halted}
    if not wanted:
        return
    probe = ApiProbe(directory, config)

    missing: list[str] = []

    def are_ready() -> bool:
        conditions = probe.node_conditions()
        here = {name for name, ready in conditions.items() if ready == "True" or not config.controllers}
        missing[:] = sorted(wanted - here)
        return not missing

    with step(f"{len(wanted)} node{'s' * (len(wanted) > 1)} {'Ready' if config.controllers else 'registered'}"):
        if not wait_until(are_ready, seconds_max=NODES_SECONDS_MAX, give_up=lambda: _has_failed(directory)):
            name = missing[0]
            raise CommandError(f"node {name} did not become Ready", _last_line(directory, f"agent-{name}"))
    probe.close()


def missing_parts(directory: ClusterDirectory, config: ClusterConfig) -> list[str]:
    """Say of each part that was left out how it is run as a process of its own."""
    lines = []
    if not config.scheduler:
        lines.append(
            f"No scheduler runs. One: python -m control scheduler --kubeconfig {directory.scheduler_kubeconfig}"
        )
    if not config.controllers:
        flags = f"--cluster-cidr {config.pod_cidr} --profile {config.profile}"
        path = directory.controllers_kubeconfig
        lines.append(f"No controllers run. All: python -m control controllers --kubeconfig {path} {flags}")
    return lines


def _has_failed(directory: ClusterDirectory) -> bool:
    """Whether a process crashed repeatedly: it will not come up by waiting."""
    answer = ask(directory, "status")
    return answer is None or any(item["restarts"] >= 3 for item in answer["processes"] if item["wanted"])


def _last_line(directory: ClusterDirectory, process: str) -> str:
    path = directory.log_file(process)
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return f"{lines[-1] if lines else 'its log is empty'} (see {path})"


def merge_kubeconfig(directory: ClusterDirectory, config: ClusterConfig) -> None:
    """Write the context `podling-<name>` into the user's kubeconfig and make it current."""
    from control.client.kubeconfig import KubeconfigError, merge_context, writable_path
    from control.credentials import admin_access, context_name

    try:
        merge_context(writable_path(), context_name(config.name), admin_access(directory, config))
    except (OSError, KubeconfigError) as error:
        raise CommandError(f"cannot write the kubeconfig ({error})", "podling kubeconfig --print shows it") from error


def stay_in_foreground(directory: ClusterDirectory, config: ClusterConfig) -> None:
    """Wait until the supervisor ends or a signal asks to end it; Pods are left running, as when a kubelet stops."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"Cluster {config.name!r} runs in the foreground; Ctrl-C ends its processes and leaves its Pods.")
    try:
        while ask(directory, "status") is not None:
            time.sleep(1)
    except (KeyboardInterrupt, SystemExit):
        pass
    stop_supervisor(directory)
