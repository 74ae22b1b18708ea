from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control.scheduler.snapshot import Snapshot
from tests.unit.scheduler.builders import make_node, make_snapshot, prepare


def used(snapshot: Snapshot, name: str) -> int:
    node = snapshot.find(name)
    assert node is not None
    return node.cpu_used


def test_an_assumed_pod_counts_until_forgotten() -> None:
    snapshot = make_snapshot(make_node())
    snapshot.assume(prepare(cpu="1"), "n1")
    assert used(snapshot, "n1") == 1000
    assert snapshot.is_assumed("uid-p")
    snapshot.forget("uid-p")
    assert used(snapshot, "n1") == 0


def test_a_confirmed_pod_is_not_forgotten() -> None:
    snapshot = make_snapshot(make_node(), make_node("n2"))
    snapshot.assume(prepare(cpu="1"), "n1")
    snapshot.put_pod(prepare(cpu="1"), "n2")
    snapshot.forget("uid-p")
    assert (used(snapshot, "n1"), used(snapshot, "n2")) == (0, 1000)


def test_pods_wait_for_their_node_and_survive_its_return() -> None:
    snapshot = make_snapshot()
    snapshot.put_pod(prepare(cpu="1"), "n1")
    snapshot.put_node(make_node())
    assert used(snapshot, "n1") == 1000
    snapshot.remove_node("n1")
    assert snapshot.all() == []
    snapshot.put_node(make_node())
    assert used(snapshot, "n1") == 1000


def test_a_changed_node_keeps_its_pods() -> None:
    snapshot = make_snapshot(make_node())
    snapshot.put_pod(prepare(cpu="1"), "n1")
    snapshot.put_node(make_node(cpu="8"))
    node = snapshot.all()[0]
    assert (node.cpu, node.cpu_used) == (8000, 1000)


operations = st.lists(
    st.tuples(
        st.sampled_from(["assume", "put", "remove", "forget", "node", "lose"]), st.integers(0, 3), st.integers(0, 2)
    ),
    max_size=40,
)


@given(operations)
def test_amounts_always_equal_the_sum_of_the_pods(steps: list[tuple[str, int, int]]) -> None:
    snapshot = make_snapshot(make_node("n0"), make_node("n1"))
    for step, number, node in steps:
        pod = prepare(f"p{number}", cpu=f"{number + 1}", host_port=8000 + number)
        if step == "assume":
            snapshot.assume(pod, f"n{node}")
        elif step == "put":
            snapshot.put_pod(pod, f"n{node}")
        elif step == "remove":
            snapshot.remove_pod(pod.uid)
        elif step == "forget":
            snapshot.forget(pod.uid)
        elif step == "node":
            snapshot.put_node(make_node(f"n{node}"))
        else:
            snapshot.remove_node(f"n{node}")
    seen: set[str] = set()
    for prepared in snapshot.all():
        assert prepared.cpu_used == sum(pod.cpu for pod in prepared.pods.values())
        assert len(prepared.ports_used) == len(prepared.pods)
        assert not seen & set(prepared.pods)
        seen |= set(prepared.pods)
        assert all(snapshot.node_of(uid) == prepared.name for uid in prepared.pods)
