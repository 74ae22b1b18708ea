"""Who writes the manifests of static Pods, and deletes their mirrors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from control.api.builtin_kinds import PODS
from control.api.objects import Object
from control.api.pods import is_mirror_pod
from tests.pod_fuzz.life_promises import LifePromises, PodLife
from tests.pod_fuzz.node import FuzzNode
from tests.pod_fuzz.specs import draw_pod

NAMES = ("static-0", "static-1")


class ManifestAuthor:
    """Writes, changes and removes manifests, and deletes mirrors. A changed manifest is another Pod."""

    def __init__(self, node: FuzzNode, life: LifePromises, random: Random, trace: Callable[[str], None]) -> None:
        self._node = node
        self._life = life
        self._random = random
        self._trace = trace

    def acts(self) -> list[Callable[[], Awaitable[None]]]:
        """All that they do."""
        return [self.write, self.write, self._remove, self._delete_mirror]

    async def write(self) -> None:
        """A new manifest, or another in its place."""
        name = self._random.choice(NAMES)
        pod = draw_pod(self._random, name)
        pod["spec"].pop("readinessGates", None)
        pod["metadata"]["labels"].pop("refused", None)
        self._replace(name, pod)
        static = self._node.manifests.find(name)
        assert static is not None
        self._trace(f"manifest {static['metadata']['uid']} {static['spec']}")
        self._life.lives[static["metadata"]["uid"]] = PodLife(static)

    async def _remove(self) -> None:
        self._replace(self._random.choice(NAMES), None)

    def remove_all(self) -> None:
        """At the end."""
        for name in NAMES:
            self._replace(name, None)

    def _replace(self, name: str, pod: Object | None) -> None:
        old = self._node.manifests.find(name)
        if old is not None:
            life = self._life.lives[old["metadata"]["uid"]]
            # An agent that finds the file gone when it starts knows no grace period any more.
            life.deleted_at = life.gone_at = self._node.clock.now()
        self._node.manifests.write(name, pod)

    async def _delete_mirror(self) -> None:
        mirrors = [pod for pod in self._node.api.pods() if is_mirror_pod(pod)]
        if mirrors:
            name, grace = self._random.choice(mirrors)["metadata"]["name"], self._random.choice((None, 0, 3))
            await self._node.client.delete(PODS, name, namespace="default", grace_period_seconds=grace)
