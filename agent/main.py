"""The agent's command line: `run` a node, `check` the engine, `cleanup` what a cluster has left, `halt` a node.

Heavy parts are imported by the command that needs them. Logs go to stderr: a constant sentence, then keys and values.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import PROFILES, AgentConfig
from agent.defaults import default_cluster, default_state_dir
from agent.images.settings import add_image_flags, read_image_settings
from agent.node_lock import NodeTakenError, only_agent
from agent.program_path import with_administration
from agent.resource_flags import add_resource_flags, read_eviction, read_reservations
from agent.security_flags import add_security_flags

if TYPE_CHECKING:
    from agent.node_agent import NodeAgent
    from control.client.kubeconfig import Access


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = make_parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("PODLING_LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(message)s",
    )
    os.environ["PATH"] = with_administration(os.environ.get("PATH", os.defpath))
    commands = {"run": _run, "check": _check, "cleanup": _cleanup, "halt": _halt}
    return commands[options.command](options)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `python -m agent`."""
    parser = argparse.ArgumentParser(prog="python -m agent", description="A Podling node.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a node until SIGTERM; its Pods keep running afterwards")
    run.add_argument("--node-name", required=True)
    run.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the API server as this node")
    run.add_argument("--cluster", help="name of the cluster in labels and links (default: as the kubeconfig calls it)")
    run.add_argument("--state-dir", type=Path, help="directory of this node (default: in Podling's data directory)")
    run.add_argument("--address", default="", help="the node's InternalIP (default: its address in its Pod range)")
    run.add_argument("--bind-address", default="", help="where the node API listens (default: the node's address)")
    run.add_argument("--port", type=int, default=10250, help="port of the node API")
    run.add_argument("--profile", choices=sorted(PROFILES), default="default", help="timings")
    run.add_argument("--lease-seconds", type=float, help="interval of lease renewals (default: the profile's)")
    run.add_argument("--tls-cert", type=Path, help="serving certificate of the node API (default: a self-signed one)")
    run.add_argument("--tls-key", type=Path, help="its key")
    run.add_argument("--client-ca", type=Path, help="authority of the node API's clients (default: the kubeconfig's)")
    run.add_argument("--cluster-cidr", default="", help="range of all Pods (default: the /16 around the node's range)")
    run.add_argument("--pod-cidr", default="", help="Pod range of this node (default: its spec.podCIDR)")
    run.add_argument("--ports-on-loopback", action="store_true", help="bind host ports on 127.0.0.1 too")
    run.add_argument("--cluster-dns", action="append", default=[], help="address of the cluster's DNS")
    run.add_argument("--cluster-domain", default="cluster.local")
    run.add_argument("--pause-image", default="", help="image of the sandboxes (default: the one that is built in)")
    run.add_argument("--network", choices=("auto", "native", "docker", "cni"), default="auto")
    run.add_argument("--node-label", action="append", default=[], metavar="NAME=VALUE")
    add_resource_flags(run)
    run.add_argument(
        "--pod-max-pids", type=_pids, default=0, metavar="COUNT", help="most processes a Pod may have (default: any)"
    )
    run.add_argument(
        "--max-container-restart-period",
        type=_restart_seconds,
        default=300.0,
        metavar="SECONDS",
        help="longest back-off between restarts of a container, 1 to 300",
    )
    add_security_flags(run)
    run.add_argument(
        "--pod-manifest-path",
        type=Path,
        metavar="DIR",
        help="directory of the manifests of static Pods (default: none)",
    )
    add_image_flags(run)
    run.add_argument("--lifeline", action="store_true", help="stop when standard input closes")
    commands.add_parser("check", help="say what the Docker Engine is, or why it cannot be used")
    cleanup = commands.add_parser("cleanup", help="stop and remove all that a cluster has on this host")
    cleanup.add_argument("--cluster", required=True)
    cleanup.add_argument("--node-name", default="", help="only of this node")
    cleanup.add_argument("--pod-cidr", default="", help="the node's Pod range, whose links are removed with it")
    cleanup.add_argument("--state-dir", type=Path, help="directory of the nodes' state directories")
    cleanup.add_argument("--keep-volumes", action="store_true", help="leave the Pods' directories")
    halt = commands.add_parser("halt", help="kill the containers of a node as a power cut would")
    halt.add_argument("--cluster", required=True)
    halt.add_argument("--node-name", required=True)
    return parser


def _pids(text: str) -> int:
    """The kubelet's podPidsLimit, in which -1 means any number too."""
    count = int(text)
    if count < -1:
        raise argparse.ArgumentTypeError("must be -1, 0 or a number of processes")
    return max(0, count)


def _restart_seconds(text: str) -> float:
    """Bounds as the kubelet's (crashLoopBackOff.maxContainerRestartPeriod)."""
    seconds = float(text)
    if not 1 <= seconds <= 300:
        raise argparse.ArgumentTypeError("must be between 1 and 300 seconds")
    return seconds


def _run(options: argparse.Namespace) -> int:
    from control.client.kubeconfig import KubeconfigError, read_access

    try:
        access = read_access(options.kubeconfig)
        config = _read_config(options, access)
    except (KubeconfigError, OSError, ValueError) as error:
        return _fail(str(error))
    try:
        with only_agent(config.state_dir, config.cluster, config.node_name):
            return _run_loop(config, access)
    except NodeTakenError as error:
        return _fail(str(error))


def _read_config(options: argparse.Namespace, access: Access) -> AgentConfig:
    """What the flags say and, where they say nothing, the kubeconfig. Raises OSError, ValueError."""
    cluster = options.cluster or default_cluster(access.cluster_name)
    profile = PROFILES[options.profile]
    return AgentConfig(
        cluster=cluster,
        node_name=options.node_name,
        state_dir=(options.state_dir or default_state_dir(cluster, options.node_name)).absolute(),
        timings=profile if options.lease_seconds is None else profile.with_lease(options.lease_seconds),
        address=options.address,
        bind_address=options.bind_address,
        port=options.port,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        client_ca_pem=options.client_ca.read_text() if options.client_ca else access.ca_pem,
        cluster_cidr=options.cluster_cidr,
        pod_cidr=options.pod_cidr,
        ports_on_loopback=options.ports_on_loopback,
        cluster_dns=tuple(options.cluster_dns),
        cluster_domain=options.cluster_domain,
        pause_image=options.pause_image,
        network=options.network,
        labels=tuple((name, value) for name, _, value in (label.partition("=") for label in options.node_label)),
        pods_max=options.max_pods,
        pod_pids_max=options.pod_max_pids,
        reservations=read_reservations(options),
        eviction=read_eviction(options),
        container_restart_seconds_max=options.max_container_restart_period,
        images=read_image_settings(options),
        lifeline=options.lifeline,
        pod_manifest_path=options.pod_manifest_path.absolute() if options.pod_manifest_path else None,
        static_pods_share_processes=options.profile == "default",
        allowed_unsafe_sysctls=options.allowed_unsafe_sysctls,
        seccomp_profile_root=options.seccomp_profile_root.absolute(),
        seccomp_default=options.seccomp_default,
    )


def _run_loop(config: AgentConfig, access: Access) -> int:
    from agent.engine_check import EngineProblemError
    from agent.network.protocol import NetworkError
    from agent.node.reservations import ReservationError
    from control.client.kubeconfig import KubeconfigError

    # Most of what a starting Pod makes stays: collecting garbage less often saves a tenth of the CPU, as in control.
    gc.set_threshold(20_000, 20, 100)
    try:
        import uvloop

        uvloop.run(_run_node(config, access))
    except (EngineProblemError, NetworkError, KubeconfigError, ReservationError) as error:
        return _fail(str(error))
    return 0


async def _run_node(config: AgentConfig, access: Access) -> None:
    from random import Random

    from agent.engine_check import check_engine
    from agent.host import LinuxHost
    from agent.node.reservations import check_reservations
    from agent.node_agent import NodeAgent
    from agent.runtime.docker_runtime import DockerRuntime
    from control.api.clock import SystemClock
    from control.client.client import Client
    from control.client.kubeconfig import open_transport

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if config.lifeline:
        _on_supervisor_gone(loop, stop)
    runtime = DockerRuntime()
    client = Client(open_transport(access, user_agent="kubelet/v1.36.2"))
    try:
        engine = await check_engine(runtime)
        check_reservations(config.reservations, {"cpu": engine.cpus * 1000, "memory": engine.memory_bytes})
        agent = NodeAgent(
            config,
            host=LinuxHost(config),
            runtime=runtime,
            client=client,
            clock=SystemClock(),
            random=Random(),
            engine=engine,
        )
        _on_shutdown_request(loop, agent, stop)
        await agent.run(stop)
    finally:
        await client.close()
        await runtime.close()


def _on_shutdown_request(loop: asyncio.AbstractEventLoop, agent: NodeAgent, stop: asyncio.Event) -> None:
    """Shut the node down gracefully when the signal for it comes; the agent ends with it."""
    from agent.node.shutdown_request import SIGNAL, take_request

    tasks: set[asyncio.Task[None]] = set()

    async def shut_down() -> None:
        await agent.shut_down(take_request(agent.config.state_dir))
        stop.set()

    loop.add_signal_handler(SIGNAL, lambda: tasks.add(asyncio.ensure_future(shut_down())))


def _on_supervisor_gone(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when standard input closes: its other end is held by the supervisor."""
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 1):
            loop.remove_reader(descriptor)
            stop.set()

    loop.add_reader(descriptor, readable)


def _check(options: argparse.Namespace) -> int:
    from agent.engine_check import EngineProblemError, describe_engine

    try:
        print(asyncio.run(describe_engine()))
    except EngineProblemError as error:
        return _fail(str(error))
    return 0


def _cleanup(options: argparse.Namespace) -> int:
    from agent.cleanup import Leftovers, clean_up
    from agent.engine_check import EngineProblemError

    leftovers = Leftovers(
        cluster=options.cluster,
        node_name=options.node_name,
        pod_cidr=options.pod_cidr,
        state_dir=options.state_dir,
        keep_volumes=options.keep_volumes,
    )
    try:
        asyncio.run(clean_up(leftovers))
    except EngineProblemError as error:
        return _fail(str(error))
    return 0


def _halt(options: argparse.Namespace) -> int:
    from agent.cleanup import halt_node
    from agent.engine_check import EngineProblemError

    try:
        asyncio.run(halt_node(options.cluster, options.node_name))
    except EngineProblemError as error:
        return _fail(str(error))
    return 0


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
