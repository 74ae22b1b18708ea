"""A node's Pod machinery on fakes: fake engine, fake clock, in-memory API. `HollowNode` is what tests drive."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from agent.cgroups.driver import CgroupfsDriver
from agent.cgroups.layout import CgroupLayout
from agent.cgroups.pod_cgroups import NodePodCgroups
from agent.images.credential_records import Verification
from agent.images.pull_records import PullRecords
from agent.images.pulled_images import PulledImages
from agent.network.protocol import PodAddress, PortMapping
from agent.pods.backoff import RestartBackoff
from agent.pods.container_cache import ContainerCache
from agent.pods.container_configuration import ConfinementError, StarterSettings
from agent.pods.container_start import ContainerStarter
from agent.pods.executor import PodExecutor
from agent.pods.field_reference import NodeFacts
from agent.pods.gpu_allocation import GpuAllocation
from agent.pods.hooks import HookRunner
from agent.pods.image_pull import ImagePulls
from agent.pods.pod_files import PodFiles
from agent.pods.pod_workers import PodWorkers
from agent.pods.probe_attempt import ProbeResult
from agent.pods.probes import ProbeRunner
from agent.pods.rejection import Rejection
from agent.pods.resize import PendingResize
from agent.pods.runtime_class import RuntimeHandlers
from agent.pods.sandbox_start import SandboxSettings, SandboxStarter
from agent.pods.status_reporter import StatusReporter
from agent.pods.termination_message import TerminationMessages
from agent.pods.worker_services import WorkerServices
from agent.runtime.accounts import Accounts
from agent.runtime.events import EventFeed
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.identity import NodeIdentity
from agent.runtime.images import ImagePuller
from agent.runtime.protocol import ContainerRecord, ContainerState, CreateBody
from agent.runtime.translate import HostLimits
from agent.static_pods.pod_router import route_pods
from agent.volumes.protocol import ConfigurationSource, Device, Mount, MountedVolume, UnmountedVolumesError, VolumeError
from control.api.builtin_kinds import PODS
from control.api.clock import FakeClock
from control.api.exchange import User
from control.api.objects import Object, ReadOnlyObject, copy_object
from control.api.timestamps import format_time
from control.client.client import Client
from control.client.informer import EventHandler, Informer
from control.client.local_transport import LocalTransport
from tests.fakes.cgroup_tree import FakeCgroupTree
from tests.fakes.memory_endpoint import MemoryEndpoint
from tests.fakes.objects import FakeObjects

NODE_IP = "10.244.0.1"
PAUSE = "podling/pause:1"
OWNER = NodeIdentity(cluster="test", node="node-1")


class PodEndpoint(MemoryEndpoint):
    """The in-memory API with what Pods need: graceful deletion and conditions merged by type."""

    def _patch(self, key: tuple[str, str, str, str], old: Object, patch: Object) -> Object:
        patch = copy_object(patch)
        status = patch.get("status", {})
        order = [item["type"] for item in status.pop("$setElementOrder/conditions", ())]
        if "conditions" in status:
            conditions = {item["type"]: item for item in (old.get("status") or {}).get("conditions", ())}
            for item in status["conditions"]:
                merged = {**conditions.get(item["type"], {}), **item}
                kept = {name: value for name, value in merged.items() if value is not None or name == "lastProbeTime"}
                conditions[item["type"]] = kept
            left = [item for item in conditions.values() if item.get("$patch") != "delete"]
            status["conditions"] = sorted(
                left, key=lambda item: order.index(item["type"]) if item["type"] in order else -1
            )
        for name in ("podIPs", "hostIPs"):
            if status.get(name):
                status[name] = [item for item in status[name] if "$patch" not in item]
        return super()._patch(key, old, patch)

    def _delete(self, key: tuple[str, str, str, str], old: Object, options: Object) -> Object:
        grace = options.get("gracePeriodSeconds", old.get("spec", {}).get("terminationGracePeriodSeconds", 30))
        if key[1] != "pods" or grace == 0:
            return super()._delete(key, old, options)
        obj = copy_object(old)
        obj["metadata"]["deletionTimestamp"] = format_time(self.now() + timedelta(seconds=grace))
        obj["metadata"]["deletionGracePeriodSeconds"] = grace
        return self._commit("MODIFIED", key, obj)


class FakeNetwork:
    """Addresses 10.244.0.2 and up; remembers what is attached. Asserts that no two sandboxes share an address."""

    def __init__(self) -> None:
        self.attached: dict[int, str] = {}
        self.detached: list[str] = []
        self.ports: dict[str, Sequence[PortMapping]] = {}
        self.taken_ports: set[int] = set()

    async def prepare_node(self, pod_cidr: str) -> str:
        return NODE_IP

    def choose_address(self, used: frozenset[str]) -> PodAddress:
        ip = next(f"10.244.0.{n}" for n in range(2, 255) if f"10.244.0.{n}" not in used)
        return PodAddress(ip=ip, node_ip=NODE_IP)

    def configure_sandbox(self, body: CreateBody, address: PodAddress) -> None:
        body["HostConfig"]["NetworkMode"] = "host"

    async def attach(
        self, sandbox_pid: int, address: PodAddress, sysctls: dict[str, str], host_ports: Sequence[PortMapping] = ()
    ) -> Sequence[str]:
        self.attached[sandbox_pid] = address.ip
        self.ports[address.ip] = host_ports
        return await self.find_port_clashes(host_ports)

    async def find_port_clashes(self, host_ports: Sequence[PortMapping]) -> Sequence[str]:
        return [f"port {port.host_port} is taken" for port in host_ports if port.host_port in self.taken_ports]

    async def detach(self, address: PodAddress) -> None:
        self.detached.append(address.ip)
        self.ports.pop(address.ip, None)

    async def collect_garbage(self, used: frozenset[str]) -> None:
        return None

    async def remove_node(self) -> None:
        return None


class FakeVolumes:
    """Volumes that mount at once, unless `failure` says why not."""

    def __init__(self) -> None:
        self.mounted: set[str] = set()
        self.image_volumes: set[str] = set()
        self.failure = ""
        self.reasons: Sequence[str] = ("FailedMount",)
        self.files: dict[tuple[str, str], str] = {}
        self.mounts: list[Mount] = []

    async def mount_all(
        self, pod: ReadOnlyObject, image_layers: Mapping[str, Sequence[str]]
    ) -> Mapping[str, MountedVolume]:
        if self.failure:
            raise UnmountedVolumesError([VolumeError(self.failure, reasons=self.reasons)], ["v"])
        self.mounted.add(pod["metadata"]["uid"])
        self.image_volumes |= set(image_layers)
        volumes = pod["spec"].get("volumes") or ()
        return {item["name"]: MountedVolume(name=item["name"], host_path=Path("/")) for item in volumes}

    async def refresh(self, pod: ReadOnlyObject, objects: ConfigurationSource) -> None:
        return None

    async def unmount_all(self, pod_uid: str) -> None:
        self.mounted.discard(pod_uid)

    async def are_held_by_containers(self, pod_uid: str) -> bool:
        return False

    async def collect_garbage(self, wanted_pod_uids: frozenset[str]) -> None:
        self.mounted &= wanted_pod_uids

    def container_mounts(self, *args: Any) -> list[Mount]:
        return self.mounts

    def container_devices(self, *args: Any) -> list[Device]:
        return []

    def local_directories(self, pod: ReadOnlyObject) -> Mapping[str, Path]:
        return {}

    async def read_file(self, volume: MountedVolume, path: str) -> str | None:
        return self.files.get((volume.name, path))


class FakeSecurityFiles:
    """Seccomp profiles by name; an image's accounts, if any can be read."""

    def __init__(self) -> None:
        self.profiles: dict[str, str] = {}
        self.accounts: Accounts | None = None

    def read_seccomp_profile(self, name: str) -> str:
        if name not in self.profiles:
            raise ConfinementError(f'cannot load seccomp profile "{name}"')
        return self.profiles[name]

    def read_accounts(self, layers: Sequence[str]) -> Accounts | None:
        return self.accounts


class FakeNetworkFiles:
    """No files at all."""

    def write(self, directory: Path, pod: ReadOnlyObject, pod_ips: Sequence[str]) -> list[str]:
        return ["too many nameservers"] if len(pod["spec"].get("dnsConfig", {}).get("nameservers", ())) > 3 else []

    def mounts(self, directory: Path, taken: Collection[str]) -> list[Mount]:
        return []


class FakeProbes:
    """Answers by probe: `answers[container name]` for every probe of it."""

    def __init__(self) -> None:
        self.answers: dict[str, ProbeResult] = {}
        self.tries = 0

    async def probe(
        self, container: ReadOnlyObject, container_id: str, probe: Mapping[str, Any], address: str
    ) -> ProbeResult:
        self.tries += 1
        return self.answers.get(container["name"], ProbeResult(passed=True))


async def _nothing() -> None:
    """Do nothing."""


class HollowNode:
    """Everything a node needs for its Pods. `start` may be called again after `crash`: the engine keeps its state."""

    def __init__(self, directory: Path, *, clock: FakeClock | None = None) -> None:
        self.directory = directory
        self.clock = clock or FakeClock()
        self.runtime = FakeRuntime(self.clock)
        self.runtime.add_image(PAUSE)
        self.runtime.add_image("web:1")
        self.runtime.add_image("web:2")
        self.api = PodEndpoint(now=self.clock.now)
        self.client = Client(LocalTransport(self.api, User(name="system:node:node-1")))
        self.network = FakeNetwork()
        self.cgroup_tree = FakeCgroupTree()
        self.gpus: Sequence[str] = ()
        self.volumes = FakeVolumes()
        self.security_files = FakeSecurityFiles()
        self.objects = FakeObjects()
        self.probes = FakeProbes()
        self.events: list[tuple[str, str, str]] = []
        self.rejection: Callable[[ReadOnlyObject], Rejection | None] = lambda pod: None
        self.pending_resize: PendingResize | None = None
        self.unsupported: Callable[[ReadOnlyObject], Sequence[str]] = lambda pod: ()
        self.before_adoption: Callable[[], Awaitable[None]] = _nothing
        self._uids = itertools.count(1)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []

    # --- the agent's life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start (or restart) the machinery."""
        self._stop = asyncio.Event()
        # One thread: whoever waits for it has waited for all that was begun before.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        self.cache = ContainerCache(self.runtime, OWNER, self.clock)
        self.worker_services = self._services()
        self.workers = PodWorkers(self.cache, self.worker_services)
        await self.cache.relist()
        self.informer = Informer(self.client, PODS, clock=self.clock, random=Random(1))
        self.informer.add_handler(route_pods(pods=self.workers.on_pod_change, mirrors=self._mirror_handler()))
        feed = EventFeed(
            open=lambda: self.runtime.events(OWNER.labels()),
            clock=self.clock,
            on_event=self.workers.on_engine_event,
            relist=self.cache.relist,
        )
        self._tasks = [
            asyncio.ensure_future(self.informer.run(self._stop)),
            asyncio.ensure_future(feed.run(self._stop)),
            asyncio.ensure_future(self.workers.run(self._stop)),
        ]
        await self.informer.wait_synced()
        await self.before_adoption()
        self.workers.adopt()
        await self.settle()

    def _mirror_handler(self) -> EventHandler:
        """Who hears of mirror Pods: nobody, where there are no static Pods."""
        return lambda old, new: None

    async def crash(self) -> None:
        """End the machinery wherever it is."""
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.reporter.close()
        await self._images.close()
        await self._probe_runner.close()

    async def settle(self, seconds: float = 0.0) -> None:
        """Let everything that can happen happen; then let time pass in small steps."""
        await self._drain()
        passed = 0.0
        while passed < seconds:
            step = min(0.25, seconds - passed)
            await self.clock.advance(step)
            passed += step
            await self._drain()

    async def _drain(self) -> None:
        """Run the loop until nothing happens by itself; files are written in threads, so threads get turns too."""
        for _ in range(12):
            for _ in range(40):
                await asyncio.sleep(0)
            await asyncio.to_thread(lambda: None)

    def _record(self, obj: ReadOnlyObject, type: str, reason: str, message: str, **details: Any) -> None:
        self.events.append((type, reason, message))

    async def _admit(self, pod: ReadOnlyObject) -> Rejection | None:
        return self.rejection(pod)

    def _image_puller(self) -> ImagePuller:
        return ImagePuller(
            runtime=self.runtime,
            pulled=PulledImages(self.directory),
            credential_records=PullRecords(self.directory, Verification()),
            clock=self.clock,
        )

    def _services(self) -> WorkerServices:
        host = HostLimits(memory_bytes=16 << 30, can_lower_oom_score=True)
        layout = CgroupLayout(cluster=OWNER.cluster, node=OWNER.node)
        self.cgroups = NodePodCgroups(CgroupfsDriver(self.cgroup_tree), layout, pids_max=1000)
        self.cgroups.prepare(node_cpus=4)
        self.reporter = StatusReporter(self.client, self.clock)
        self._images = ImagePulls(self.runtime, self._image_puller(), self.clock)
        files = PodFiles(self.directory / "pods", FakeNetworkFiles())
        handlers = RuntimeHandlers(self.objects, ("runc", "kata"))
        hooks = HookRunner(self.runtime, self.cache, self.clock, self._record, lambda: NODE_IP)
        starter = ContainerStarter(
            runtime=self.runtime,
            cache=self.cache,
            images=self._images,
            volumes=self.volumes,
            files=files,
            objects=self.objects,
            services=list,
            hooks=hooks,
            handlers=handlers,
            record=self._record,
            link_log=lambda record: None,
            clock=self.clock,
            settings=StarterSettings(
                owner=OWNER,
                host=host,
                node_facts=NodeFacts,
                host_ip=lambda: NODE_IP,
                security_files=self.security_files,
                cgroup_parent=self.cgroups.parent,
                allocate_gpus=GpuAllocation(self.gpus, self.cache, lambda: self.workers.admitted_pods()).allocate,
            ),
        )
        sandboxes = SandboxStarter(
            runtime=self.runtime,
            network=self.network,
            cgroups=self.cgroups,
            cache=self.cache,
            handlers=handlers,
            record=self._record,
            clock=self.clock,
            settings=SandboxSettings(owner=OWNER, pause_image=PAUSE, host=host, node_ip=lambda: NODE_IP),
        )
        executor = PodExecutor(
            runtime=self.runtime, cache=self.cache, sandboxes=sandboxes, starter=starter, hooks=hooks,
            record=self._record, clock=self.clock,
        )  # fmt: skip
        self._probe_runner = ProbeRunner(
            self.probes, clock=self.clock, random=Random(1), record=self._record, host_ip=lambda: NODE_IP
        )
        return WorkerServices(
            cache=self.cache,
            executor=executor,
            probes=self._probe_runner,
            backoff=RestartBackoff(),
            reporter=self.reporter,
            images=self._images,
            volumes=self.volumes,
            files=files,
            messages=TerminationMessages(files, lambda path, lines: "the log"),
            clock=self.clock,
            record=self._record,
            unlink_logs=lambda pod: None,
            host_ips=lambda: (NODE_IP,),
            admit=self._admit,
            unsupported=lambda pod: self.unsupported(pod),
            judge_resize=lambda pod: self.pending_resize,
            retry_resizes=lambda: self.workers.retry_resizes(),
        )

    # --- the user's side ----------------------------------------------------------------------------------------------

    async def create(self, name: str = "web", **spec: Any) -> Object:
        """Create a Pod bound to this node and let things settle."""
        pod = make_pod(name, **spec)
        pod["metadata"].pop("uid")
        created = await self.client.create(PODS, pod)
        await self.settle()
        return created

    async def delete(self, name: str = "web", *, grace: int | None = None) -> None:
        """Ask for deletion."""
        await self.client.delete(PODS, name, namespace="default", grace_period_seconds=grace)
        await self.settle()

    async def find(self, name: str = "web") -> Object | None:
        """The Pod as the API has it."""
        return await self.client.find(PODS, name, namespace="default")

    async def status(self, name: str = "web") -> Object:
        """Its status."""
        pod = await self.find(name)
        assert pod is not None
        return dict(pod.get("status") or {})

    async def containers(self) -> list[ContainerRecord]:
        """Everything on the engine that is this node's."""
        return await self.runtime.list_containers(OWNER.labels())

    async def running(self, container_name: str) -> list[ContainerRecord]:
        """The running containers of that name; `POD` is the sandbox."""
        return [
            record
            for record in await self.containers()
            if record.state is ContainerState.RUNNING and record.name.startswith(f"k8s_{container_name}_")
        ]

    def event_messages(self, reason: str) -> list[str]:
        """Messages of the Events with that reason."""
        return [message for _, one, message in self.events if one == reason]


def make_pod(name: str = "web", **spec: Any) -> Object:
    """A Pod with one container `web` of image web:1 that mounts all its volumes, bound to the node."""
    container: Object = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent"}
    if spec.get("volumes"):
        container["volumeMounts"] = [{"name": one["name"], "mountPath": f"/{one['name']}"} for one in spec["volumes"]]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-of-{name}", "generation": 1},
        "spec": {
            "containers": [container],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "shareProcessNamespace": True,
            "nodeName": "node-1",
            **spec,
        },
    }
