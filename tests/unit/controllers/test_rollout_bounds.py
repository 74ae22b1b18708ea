"""Never more Pods than the surge allows, never fewer available than promised, and every rollout ends."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from control.api.builtin_kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from control.api.objects import Object, copy_object
from control.client.view import View
from control.client.writes import Create, Update
from control.controllers.deployment.bounds import max_surge, max_unavailable
from control.controllers.deployment.reconcile import reconcile
from control.controllers.scale import replicas_of
from tests.unit.controllers.builders import NOW, make_deployment, own

BOUND = st.one_of(st.integers(0, 4), st.integers(0, 100).map(lambda share: f"{share}%"))


class Simulation:
    """A Deployment, its ReplicaSets, and Pods that are but ready or not."""

    def __init__(self, replicas: int, surge: int | str, unavailable: int | str) -> None:
        rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
        self.deployment = make_deployment(replicas, strategy={"type": "RollingUpdate", "rollingUpdate": rolling})
        self.replica_sets: dict[str, Object] = {}
        self.pods: dict[str, list[bool]] = {}

    def set_image(self, number: int) -> None:
        self.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = f"image-{number}"

    def turn(self) -> bool:
        """One turn of the controller, its writes applied; whether there were any to ReplicaSets."""
        for name, replica_set in self.replica_sets.items():
            ready = sum(self.pods[name])
            replica_set["status"] = {
                "replicas": len(self.pods[name]),
                "readyReplicas": ready,
                "availableReplicas": ready,
                "observedGeneration": 1,
            }
        available_before = self.available()
        view = View.of({DEPLOYMENTS: [self.deployment], REPLICA_SETS: self.replica_sets.values(), PODS: []})
        changed = False
        for step in reconcile("default/web", view, NOW).steps:
            if isinstance(step, Create | Update) and step.kind is REPLICA_SETS:
                self._store(copy_object(dict(step.obj)))
                changed = True
            elif isinstance(step, Update):
                self.deployment = copy_object(dict(step.obj))
        self._check(available_before)
        return changed

    def _store(self, replica_set: Object) -> None:
        metadata = replica_set["metadata"]
        metadata.setdefault("uid", f"uid-{metadata['name']}")
        metadata.setdefault("creationTimestamp", f"2026-01-01T00:00:{len(self.replica_sets):02d}Z")
        metadata["ownerReferences"] = [own(self.deployment)]
        self.replica_sets[metadata["name"]] = replica_set
        self.pods.setdefault(metadata["name"], [])

    def available(self) -> int:
        return sum(sum(pods) for pods in self.pods.values())

    def _check(self, available_before: int) -> None:
        wanted = sum(replicas_of(item) for item in self.replica_sets.values())
        assert wanted <= replicas_of(self.deployment) + max_surge(self.deployment)
        kept = sum(min(sum(self.pods[name]), replicas_of(item)) for name, item in self.replica_sets.items())
        promised = replicas_of(self.deployment) - max_unavailable(self.deployment)
        assert kept >= min(available_before, promised)

    def sync_pods(self, name: str) -> None:
        """What the ReplicaSet controller does: new Pods are not ready, unready ones go first."""
        pods, size = sorted(self.pods[name], reverse=True), replicas_of(self.replica_sets[name])
        self.pods[name] = pods[:size] + [False] * (size - len(pods))

    def set_ready(self, name: str, position: int, ready: bool) -> None:
        if self.pods[name]:
            self.pods[name][position % len(self.pods[name])] = ready

    def is_done(self) -> bool:
        image = image_of(self.deployment)
        return all(
            sum(self.pods[name]) == replicas_of(item) == len(self.pods[name])
            and replicas_of(item) == (replicas_of(self.deployment) if image_of(item) == image else 0)
            for name, item in self.replica_sets.items()
        )


def image_of(obj: Object) -> str:
    return str(obj["spec"]["template"]["spec"]["containers"][0]["image"])


ACTION = st.one_of(
    st.tuples(st.just("turn")),
    st.tuples(st.just("sync"), st.integers(0, 9)),
    st.tuples(st.just("ready"), st.integers(0, 9), st.integers(0, 30), st.booleans()),
    st.tuples(st.just("image"), st.integers(0, 3)),
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 12), BOUND, BOUND, st.lists(ACTION, max_size=60))
def test_rollout_stays_within_its_bounds_and_ends(
    replicas: int, surge: int | str, unavailable: int | str, actions: list[tuple[object, ...]]
) -> None:
    simulation = Simulation(replicas, surge, unavailable)
    for action in actions:
        names = sorted(simulation.replica_sets)
        if action[0] == "turn":
            simulation.turn()
        elif action[0] == "image":
            simulation.set_image(int(str(action[1])))
        elif names and action[0] == "sync":
            simulation.sync_pods(names[int(str(action[1])) % len(names)])
        elif names:
            simulation.set_ready(names[int(str(action[1])) % len(names)], int(str(action[2])), bool(action[3]))
    for _ in range(200):
        changed = simulation.turn()
        for name in simulation.replica_sets:
            simulation.sync_pods(name)
            simulation.pods[name] = [True] * len(simulation.pods[name])
        if not changed and simulation.is_done():
            return
    raise AssertionError("the rollout does not end")
