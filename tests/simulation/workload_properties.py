"""What controllers promise while they work, checked at every commit."""

from __future__ import annotations

from control.api.builtin_kinds import PODS, REPLICA_SETS
from control.api.meta import controller_of, is_deleting
from control.api.objects import Object
from control.api.pods import is_active
from control.storage.protocol import ChangeType
from tests.simulation.history import Commit, History
from tests.simulation.judge import Judge


class WorkloadProperties:
    """The promises."""

    def __init__(self, history: History, judge: Judge) -> None:
        self._history = history
        self._judge = judge
        self._former_replicas: dict[str, int] = {}
        history.handlers.append(self._on_commit)

    def _on_commit(self, commit: Commit) -> None:
        if commit.key.startswith(REPLICA_SETS.storage_prefix) and commit.previous is not None:
            before, after = commit.previous["spec"]["replicas"], (commit.obj or {})["spec"]["replicas"]
            if before != after:
                self._former_replicas[commit.previous["metadata"]["uid"]] = before
        elif commit.key.startswith(PODS.storage_prefix) and commit.type is ChangeType.CREATED:
            assert commit.obj is not None
            self._check_created(commit.obj)

    def _check_created(self, pod: Object) -> None:
        """No more Pods than replicas; than there were before the last change, for creations under way."""
        owner = controller_of(pod)
        if owner is None:
            return
        sets = {item["metadata"]["uid"]: item for item in self._history.current(REPLICA_SETS)}
        replica_set = sets.get(owner["uid"])
        if replica_set is None:
            return
        uid = replica_set["metadata"]["uid"]
        active = [
            one
            for one in self._history.current(PODS)
            if is_active(one) and not is_deleting(one) and (controller_of(one) or {}).get("uid") == uid
        ]
        allowed = max(replica_set["spec"]["replicas"], self._former_replicas.get(uid, 0))
        name = replica_set["metadata"]["name"]
        self._judge.require(
            len(active) <= allowed, "a_replica_set_makes_no_surplus", f"{name} has {len(active)} Pods, wants {allowed}"
        )
