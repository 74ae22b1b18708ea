"""What a node can do beyond the plain: computed from engine and host, shown in the Node's status. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.node.host_facts import HostFacts
from agent.runtime.protocol import EngineInfo

#: Docker 25, which makes read-only mounts recursive by itself
RECURSIVE_READ_ONLY_API = (1, 44)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFeatures:
    """`recursive_read_only`: KEP-3857; `supplemental_groups_policy`: KEP-3619, `Strict` too."""

    app_armor: bool = False
    recursive_read_only: bool = False
    supplemental_groups_policy: bool = False


def compute_node_features(engine: EngineInfo, facts: HostFacts) -> NodeFeatures:
    """What engine and host can do together.

    The groups that an image gives its users stand in its files, which the agent reads in the engine's own directories.
    """
    return NodeFeatures(
        app_armor=engine.app_armor,
        recursive_read_only=engine_recurses(engine) or facts.can_recurse,
        supplemental_groups_policy=facts.sees_engine_files and engine.storage_driver == "overlay2",
    )


def engine_recurses(engine: EngineInfo) -> bool:
    """Whether the engine itself makes read-only mounts recursive, or leaves that, as it is told."""
    return engine.offers_api(*RECURSIVE_READ_ONLY_API)
