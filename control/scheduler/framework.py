"""The scheduling framework: what a plugin may be, and what it answers.

The extension points are upstream's. A filter or score plugin is asked about many nodes at once, so that its loop is
its own; a plugin that has nothing to say about a Pod answers without a loop. Plugins are pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from control.api.objects import ReadOnlyObject
from control.scheduler.prepared import PreparedNode, PreparedPod
from control.scheduler.storage_view import StorageView

SCORE_MAX = 100


class Code(Enum):
    """How a plugin refuses. UNRESOLVABLE: evicting other Pods would not help."""

    UNSCHEDULABLE = "Unschedulable"
    UNRESOLVABLE = "UnschedulableAndUnresolvable"


@dataclass(frozen=True, slots=True)
class Status:
    """A refusal: upstream's reasons and the plugin that gave them. No refusal is None."""

    code: Code
    reasons: tuple[str, ...]
    plugin: str


Rejections = dict[str, Status]


class Resource(Enum):
    """What an event is about. An assigned Pod runs on a node; the scheduled Pod is the waiting one itself."""

    NODE = "Node"
    ASSIGNED_POD = "AssignedPod"
    UNSCHEDULED_POD = "UnscheduledPod"
    CLAIM = "PersistentVolumeClaim"
    VOLUME = "PersistentVolume"
    STORAGE_CLASS = "StorageClass"


class Change(Enum):
    """What happened to it."""

    ADD = "Add"
    UPDATE = "Update"
    DELETE = "Delete"


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """Something that may make a waiting Pod schedulable; `old` and `new` are the object before and after."""

    resource: Resource
    change: Change
    old: ReadOnlyObject | None = None
    new: ReadOnlyObject | None = None


#: whether an event may help a Pod that the plugin refused
Hint = Callable[[PreparedPod, ClusterEvent], bool]


@dataclass(frozen=True, slots=True)
class Interest:
    """Events that may help a Pod a plugin refused; without a hint every such event does."""

    resource: Resource
    changes: frozenset[Change]
    hint: Hint | None = None

    def is_met_by(self, pod: PreparedPod, event: ClusterEvent) -> bool:
        """Whether the event should bring the Pod back."""
        if event.resource is not self.resource or event.change not in self.changes:
            return False
        return self.hint is None or self.hint(pod, event)


NODE_CHANGES = frozenset({Change.ADD, Change.UPDATE})


class Cluster(Protocol):
    """Everything a decision may look at besides the nodes it is asked about."""

    def find(self, name: str) -> PreparedNode | None:
        """Return a node, or None."""
        ...

    def all(self) -> Sequence[PreparedNode]:
        """Return every node; the order is stable between changes."""
        ...

    def has_anti_affinity(self) -> bool:
        """Whether any placed Pod keeps others away from itself."""
        ...

    def has_preferences(self) -> bool:
        """Whether any placed Pod would like or must have others near itself, or would not."""
        ...

    def claim_users(self, claim_key: str) -> Set[str]:
        """Return the UIDs of the placed Pods that use a PersistentVolumeClaim (`namespace/name`)."""
        ...

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a namespace."""
        ...

    @property
    def storage(self) -> StorageView:
        """Claims, volumes and classes."""
        ...


class Plugin(Protocol):
    """Every plugin has upstream's name and says what could change its mind."""

    name: str

    def interests(self) -> Iterable[Interest]:
        """Events after which a Pod this plugin refused is tried again."""
        ...


class PreEnqueuePlugin(Plugin, Protocol):
    """May keep a Pod out of the queue altogether."""

    def pre_enqueue(self, pod: PreparedPod) -> Status | None:
        """Return why the Pod may not even be tried."""
        ...


@dataclass(frozen=True, slots=True)
class PreFilterResult:
    """`status` refuses the Pod on all nodes; `node_names` limits the nodes that are looked at."""

    status: Status | None = None
    node_names: frozenset[str] | None = None


class PreFilterPlugin(Plugin, Protocol):
    """Looks at the Pod and the whole cluster before any node is filtered."""

    def pre_filter(self, pod: PreparedPod, cluster: Cluster) -> PreFilterResult | None:
        """Refuse, limit, or say nothing."""
        ...


class FilterPlugin(Plugin, Protocol):
    """Judges nodes one by one."""

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Return the nodes that will do; note each other one in `rejected`. May return `nodes` itself."""
        ...


class ScorePlugin(Plugin, Protocol):
    """Prefers nodes. `weight` multiplies its scores of 0 to 100."""

    weight: int

    def score(self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster) -> Sequence[int] | None:
        """Return a score for each node, or None when it has no preference for this Pod."""
        ...


@dataclass(frozen=True, slots=True)
class Profile:
    """The plugins of a scheduler, each list in upstream's order."""

    pre_enqueue: tuple[PreEnqueuePlugin, ...]
    pre_filter: tuple[PreFilterPlugin, ...]
    filter: tuple[FilterPlugin, ...]
    score: tuple[ScorePlugin, ...]

    def interests(self) -> Mapping[str, tuple[Interest, ...]]:
        """What each plugin waits for, by plugin name."""
        plugins: tuple[Plugin, ...] = (*self.pre_enqueue, *self.pre_filter, *self.filter)
        return {plugin.name: tuple(plugin.interests()) for plugin in plugins}


def normalize(scores: Sequence[int], *, reverse: bool = False) -> list[int]:
    """Stretch raw scores to 0..100; `reverse` makes the lowest the best."""
    highest = max(scores, default=0)
    if highest == 0:
        return [SCORE_MAX] * len(scores) if reverse else list(scores)
    if reverse:
        return [SCORE_MAX - score * SCORE_MAX // highest for score in scores]
    return [score * SCORE_MAX // highest for score in scores]
