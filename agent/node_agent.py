"""The composition root of one agent: builds the parts of a node and runs them until told to stop.

Order of a start, which decides how soon the node is Ready: engine, then side by side the pause image, the containers
that exist and the Node's registration; then the Pod range, the network, the Pods; and last the node API.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

from agent.config import AgentConfig
from agent.host import Host
from agent.images.image_list import ImageList
from agent.network.protocol import NetworkError, PodNetwork
from agent.node.heartbeat import Heartbeat
from agent.node.node_events import STARTING_EVENT
from agent.node.node_features import NodeFeatures, compute_node_features
from agent.node.node_reference import node_reference
from agent.node.node_status import NodeInputs, go_architecture
from agent.node.pod_range import RememberedRange
from agent.node.registration import NodeRegistration
from agent.node.shutdown import ShutdownPeriods
from agent.pause_image import pause_archive, pause_reference
from agent.pod_parts import PodParts
from agent.pods.container_cache import ContainerCache
from agent.runtime.engine_address import engine_address
from agent.runtime.events import EventFeed
from agent.runtime.gpus import offered_gpus
from agent.runtime.identity import NodeIdentity
from agent.runtime.protocol import EngineInfo, Runtime
from control.api.builtin_kinds import NODES, PODS, SERVICES
from control.api.clock import Clock
from control.api.objects import Object
from control.client.client import Client
from control.client.events import EventRecorder
from control.client.informer import Informer
from control.client.running import run_until

logger = logging.getLogger(__name__)

NO_POD_RANGE = "container runtime network not ready: the node has no Pod range yet (spec.podCIDR)"
STARTING = "container runtime network not ready: the agent is starting"
START_SECONDS_MAX = 10.0
#: how long static Pods wait for an API that knows the node's Pod range better than the node itself
API_SECONDS_MAX = 3.0
STOP_SECONDS_MAX = 2.0


class NodeAgent:
    """One node."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        host: Host,
        runtime: Runtime,
        client: Client,
        clock: Clock,
        random: Random,
        engine: EngineInfo,
    ) -> None:
        self._config = config
        self._host = host
        self._runtime = runtime
        self._client = client
        self._clock = clock
        self._random = random
        self._engine = engine
        self._owner = NodeIdentity(cluster=config.cluster, node=config.node_name)
        self._facts = host.read_facts()
        self._problem = STARTING
        self._node_ip = ""
        self._pressures: Callable[[], frozenset[str]] = frozenset
        self._pod_range = asyncio.Event()
        self._started = asyncio.Event()
        self._pod_cidr = config.pod_cidr
        self._remembered_range = RememberedRange(config.state_dir)
        self._range_changed = asyncio.Event()
        self._parts: PodParts | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._obedient: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self.recorder = EventRecorder(client, component="kubelet", clock=clock, host=config.node_name)
        record = partial(self.recorder.record, node_reference(config.node_name))
        self.registration = NodeRegistration(
            client, clock, self._observe_node, status_seconds=config.timings.status_seconds, record=record
        )
        self.cache = ContainerCache(runtime, self._owner, clock)
        self.image_list = ImageList(runtime=runtime, clock=clock)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until stopped, or until a part fails for good (raises). Pods are left as they are."""
        stopping = asyncio.ensure_future(stop.wait())
        starting = asyncio.ensure_future(self._start())
        try:
            await asyncio.wait({stopping, starting}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await self._watch_over(stopping)
        finally:
            self._stop.set()
            if self._obedient:
                await asyncio.wait(self._obedient, timeout=STOP_SECONDS_MAX)
            pending = [stopping, starting, *self._tasks]
            for one in pending:
                one.cancel()
            # Not for ever: a call to an engine that hangs cannot be taken back.
            await asyncio.wait(pending, timeout=STOP_SECONDS_MAX)

    async def shut_down(self, periods: ShutdownPeriods) -> None:
        """End the node's Pods gracefully and tell the API of it. Returns when that is done, or its time is over."""
        parts = self._parts
        if parts is None:
            return
        ended = await parts.shutdown.run(periods)
        # The last word on a Pod is what its controller waits for.
        sending = [asyncio.ensure_future(parts.reporter.flush(uid)) for uid in ended]
        if sending:
            await asyncio.wait(sending, timeout=STOP_SECONDS_MAX)

    async def _watch_over(self, stopping: asyncio.Future[Any]) -> None:
        """Return when told to stop. A part that fails for good fails the agent: the supervisor starts a fresh one."""
        running = set(self._tasks)
        while not stopping.done():
            done, _ = await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
                running.discard(task)

    async def _start(self) -> None:
        config = self._config
        network = self._host.choose_network(self._engine)
        nodes = self._informer(NODES, f"metadata.name={config.node_name}")
        nodes.add_handler(self._on_node_change)
        services = self._informer(SERVICES, "")
        pods = self._informer(PODS, f"spec.nodeName={config.node_name}")
        joining = asyncio.ensure_future(self._join(nodes, services))
        self._tasks.append(joining)
        self._spawn(self._watch_pod_range())
        pause_image, _ = await asyncio.gather(self._ensure_pause_image(), self.cache.relist())
        if config.pod_manifest_path is None:
            await joining
        await self._prepare_network(network)
        parts = self._parts = PodParts(self, network=network, services=services, pause_image=pause_image)
        await self._start_workers(parts)
        await joining
        await self._follow_pods(parts, pods, services)
        self._problem = ""
        self._started.set()
        self.image_list.listeners.append(self.registration.wake)
        self._spawn_stoppable(self.image_list.run)
        logger.info("Node can run Pods node=%s address=%s", config.node_name, self._node_ip)

    async def _join(self, nodes: Informer, services: Informer) -> None:
        """Register, and follow the API from then on. Returns when the API has agreed."""
        config = self._config
        await self.registration.register()
        self.registration.tell(STARTING_EVENT)
        heartbeat = Heartbeat(
            self._client,
            self._clock,
            node_name=config.node_name,
            interval_seconds=config.timings.lease_seconds,
            node_uid=self._node_uid,
        )
        self._spawn_stoppable(self.recorder.run, nodes.run, services.run)
        self._spawn(heartbeat.run(), self._report())

    async def _report(self) -> None:
        """Report the node's status: from when it is started, or has not managed to for a while."""
        await run_until(self._started, self._clock.sleep(START_SECONDS_MAX))
        await self.registration.run()

    async def _prepare_network(self, network: PodNetwork) -> None:
        if not self._pod_cidr:
            self._problem = NO_POD_RANGE
            await self._find_pod_range()
        self._node_ip = await network.prepare_node(self._pod_cidr)

    async def _find_pod_range(self) -> None:
        """The range that the API assigns; while that is away, static Pods have the one of the last time."""
        remembered = self._remembered_range.read() if self._config.pod_manifest_path is not None else ""
        if remembered:
            await run_until(self._pod_range, self._clock.sleep(API_SECONDS_MAX))
            if not self._pod_range.is_set():
                logger.warning("The API is away: taking the Pod range of the last time range=%s", remembered)
                self._pod_cidr = remembered
        else:
            await self._pod_range.wait()

    async def _start_workers(self, parts: PodParts) -> None:
        """Whatever runs Pods, and the Pods that need no API."""
        self.workers = parts.workers
        # Before the first Pod is judged: what is short now was short before this agent started.
        await parts.evictor.observe()
        self._pressures = lambda: parts.evictor.conditions
        self.image_list.listeners.append(parts.images.forget_seen)
        feed = EventFeed(
            open=lambda: self._runtime.events(self._owner.labels()),
            clock=self._clock,
            on_event=self.workers.on_engine_event,
            relist=self.cache.relist,
        )
        self._spawn_stoppable(feed.run, self.workers.run)
        if parts.static_pods is not None:
            await parts.static_pods.start()
            self._spawn(parts.static_pods.run())

    async def _follow_pods(self, parts: PodParts, pods: Informer, services: Informer) -> None:
        await services.wait_synced()
        pods.add_handler(parts.on_pod_change)
        self._spawn_stoppable(pods.run)
        await pods.wait_synced()
        self.workers.adopt()
        self._spawn(parts.mirrors.run())
        self._spawn(parts.garbage.run(), parts.image_garbage.run(), parts.volume_refresh.run(), parts.evictor.run())
        self._spawn(self._serve(parts))

    async def _serve(self, parts: PodParts) -> None:
        """The node API, imported only now: the node is Ready without it."""
        config = self._config
        from agent.cgroups.tree import LinuxCgroupTree
        from agent.network.pod_dial import NamespaceDialer
        from agent.node.host_counters import read_host_counters, read_interfaces
        from agent.server.access_reviews import AccessReviews
        from agent.server.configuration import kubelet_configuration
        from agent.server.node_access import NodeAccess
        from agent.server.node_server import NodeServer, NodeServerSettings
        from agent.usage.claim_disks import read_claim_disks
        from agent.usage.container_cgroup import read_container_cgroup
        from agent.usage.container_processes import read_container_processes
        from agent.usage.samples import UsageSource
        from agent.usage.written_volumes import read_written_volumes

        tls_cert, tls_key = config.tls_cert, config.tls_key
        if tls_cert is None or tls_key is None:
            from agent.server.serving_certificate import ensure_serving_certificate

            addresses = [self.address(), self._node_ip]
            own = ensure_serving_certificate(config.state_dir, config.node_name, addresses, self._clock.now())
            tls_cert = tls_key = own

        server = NodeServer(
            runtime=self._runtime,
            cache=self.cache,
            pods=self.workers.pods,
            settings=NodeServerSettings(
                addresses=(config.bind_address or self._node_ip,),
                port=config.port,
                tls_cert=tls_cert,
                tls_key=tls_key,
                client_ca_pem=config.client_ca_pem,
                node_name=config.node_name,
            ),
            access=NodeAccess(AccessReviews(self._client, self._clock, node_name=config.node_name)),
            clock=self._clock,
            dialer=NamespaceDialer(),
            volume_root=config.volume_root,
            usage=UsageSource(
                node_name=config.node_name,
                engine=self._engine,
                read_counters=read_host_counters,
                read_free=lambda: self._host.read_usage(self._engine),
                read_interfaces=read_interfaces,
                measure_files=parts.measuring.measure_files,
                read_claims=partial(read_claim_disks, config.pod_volumes_root),
                read_written=partial(read_written_volumes, config.pod_volumes_root),
                read_cgroup=partial(read_container_cgroup, LinuxCgroupTree()),
                read_processes=read_container_processes,
            ),
            probes=parts.probes.tally,
            starts=parts.starts,
            configuration=kubelet_configuration(config, engine_address=engine_address()),
        )
        await server.run(self._stop)

    # --- facts --------------------------------------------------------------------------------------------------------

    @property
    def config(self) -> AgentConfig:
        """What the agent was told."""
        return self._config

    @property
    def owner(self) -> NodeIdentity:
        """Whose the containers are."""
        return self._owner

    @property
    def host(self) -> Host:
        """The machine."""
        return self._host

    @property
    def runtime(self) -> Runtime:
        """The engine."""
        return self._runtime

    @property
    def client(self) -> Client:
        """The API."""
        return self._client

    @property
    def clock(self) -> Clock:
        """The time."""
        return self._clock

    @property
    def random(self) -> Random:
        """Where jitter comes from."""
        return self._random

    @property
    def engine(self) -> EngineInfo:
        """What the engine is."""
        return self._engine

    @property
    def features(self) -> NodeFeatures:
        """What the node can do beyond the plain."""
        return compute_node_features(self._engine, self._facts)

    @property
    def gpus(self) -> tuple[str, ...]:
        """The graphics cards that containers can be given."""
        return offered_gpus(self._facts.gpus, self._engine)

    def address(self) -> str:
        """The node's InternalIP."""
        return self._config.address or self._node_ip

    # --- parts --------------------------------------------------------------------------------------------------------

    def _observe_node(self) -> NodeInputs:
        config = self._config
        return NodeInputs(
            name=config.node_name,
            engine=self._engine,
            facts=self._facts,
            usage=self._host.read_usage(self._engine),
            address=self.address(),
            port=config.port,
            now=self._clock.now(),
            pods_max=config.pods_max,
            problem=(self._parts.shutdown.problem if self._parts is not None else "") or self._problem,
            images=self.image_list.images,
            images_max=config.images.reported_max,
            labels=dict(config.labels),
            volume_root=str(config.volume_root),
            features=self.features,
            reservations=config.reservations,
            thresholds=config.eviction.thresholds,
            pressures=self._pressures(),
        )

    def _on_node_change(self, old: Object | None, new: Object | None) -> None:
        self.registration.on_node_change(old, new)
        cidr = ((new or {}).get("spec") or {}).get("podCIDR") or ""
        if not cidr or self._config.pod_cidr:
            return
        self._remembered_range.write(cidr)
        if not self._pod_cidr:
            self._pod_cidr = cidr
            self._pod_range.set()
        elif cidr != self._pod_cidr and not self._pod_range.is_set():
            # Pods have addresses of the range of the last time.
            self._range_changed.set()

    async def _watch_pod_range(self) -> None:
        """End the agent when the API gives the node another range than it remembered: the next one takes that."""
        await self._range_changed.wait()
        raise NetworkError(f"the node's Pod range is not {self._pod_cidr} any more")

    def _node_uid(self) -> str:
        node = self.registration.node
        return str(node["metadata"]["uid"]) if node is not None else ""

    def _informer(self, kind: Any, field_selector: str) -> Informer:
        return Informer(self._client, kind, clock=self._clock, random=self._random, field_selector=field_selector)

    def _spawn(self, *works: Coroutine[Any, Any, None]) -> None:
        self._tasks += [asyncio.ensure_future(work) for work in works]

    def _spawn_stoppable(self, *runs: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
        """Start what ends by itself when the agent stops."""
        tasks = [asyncio.ensure_future(run(self._stop)) for run in runs]
        self._tasks += tasks
        self._obedient += tasks

    async def _ensure_pause_image(self) -> str:
        if self._config.pause_image:
            return self._config.pause_image
        architecture = go_architecture(self._engine.architecture)
        reference = pause_reference(architecture)
        if await self._runtime.find_image(reference) is None:
            await self._runtime.load_image(pause_archive(architecture))
        return reference
