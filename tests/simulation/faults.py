"""What goes wrong: one seeded fault after the other, each healed after a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from agent.runtime.identity import ContainerRole, parse_identity

if TYPE_CHECKING:
    from tests.simulation.cluster import SimulatedCluster

Fault = Callable[["SimulatedCluster"], Awaitable[None]]


async def run_faults(cluster: SimulatedCluster, *, kinds: Sequence[str], count: int, pause_seconds: float) -> None:
    """Let that many things go wrong; return when all of them are over."""
    random = cluster.random
    going_on = []
    for _ in range(count):
        await asyncio.sleep(random.random() * 2 * pause_seconds)
        name = random.choice(kinds)
        cluster.trace.write("fault", name)
        going_on.append(asyncio.ensure_future(FAULTS[name](cluster)))
    await asyncio.gather(*going_on)


async def _while(cluster: SimulatedCluster, seconds_max: float) -> None:
    await asyncio.sleep(0.05 + cluster.random.random() * seconds_max)


async def kill_control_plane(cluster: SimulatedCluster) -> None:
    """And start it again."""
    cluster.control.kill()
    await _while(cluster, 8)
    cluster.control.start()


async def kill_control_plane_often(cluster: SimulatedCluster) -> None:
    """It hardly gets to work in between."""
    for _ in range(4):
        cluster.control.kill()
        await _while(cluster, 0.3)
        cluster.control.start()
        await _while(cluster, 0.5)


async def kill_agent(cluster: SimulatedCluster) -> None:
    """Its containers run on."""
    node = cluster.choose_node()
    node.kill_agent()
    await _while(cluster, 12)
    cluster.start_node(node)


async def kill_agent_often(cluster: SimulatedCluster) -> None:
    """It hardly gets to work in between."""
    node = cluster.choose_node()
    for _ in range(5):
        node.kill_agent()
        await _while(cluster, 0.1)
        cluster.start_node(node)
        await _while(cluster, 0.6)


async def kill_node(cluster: SimulatedCluster) -> None:
    """Agent and containers, for long enough that its Pods are replaced, or not."""
    node = cluster.choose_node()
    node.kill()
    await _while(cluster, 30)
    cluster.start_node(node)


async def kill_container(cluster: SimulatedCluster) -> None:
    """Some containers of Pods die."""
    await _kill_some(cluster, ContainerRole.CONTAINER)


async def kill_sandbox(cluster: SimulatedCluster) -> None:
    """A pause container dies and takes its Pod's containers along."""
    await _kill_some(cluster, ContainerRole.SANDBOX)


async def _kill_some(cluster: SimulatedCluster, role: ContainerRole) -> None:
    engine = cluster.choose_node().engine
    running = [record for record in engine.running() if parse_identity(record.labels).role is role]  # type: ignore[union-attr]
    if running:
        engine.exit_container(cluster.random.choice(running).id, exit_code=137)


async def restart_engine(cluster: SimulatedCluster) -> None:
    """All containers of a node are gone, its agent is not."""
    await cluster.choose_node().restart_engine(0.2 + cluster.random.random() * 5)


async def hang_engine(cluster: SimulatedCluster) -> None:
    """The engine answers nothing for a while."""
    faults = cluster.choose_node().faults
    faults.hang(cluster.loop)
    await _while(cluster, 30)
    faults.resume()


async def break_engine_calls(cluster: SimulatedCluster) -> None:
    """Calls fail, before their effect or after it."""
    faults = cluster.choose_node().faults
    faults.error_rate = 0.3
    await _while(cluster, 8)
    faults.error_rate = 0.0


async def lose_engine_events(cluster: SimulatedCluster) -> None:
    """The event stream breaks."""
    cluster.choose_node().engine.break_events()


async def cut_node_off(cluster: SimulatedCluster) -> None:
    """A partition; the node's containers run on."""
    name = cluster.choose_node().name
    cluster.network.cut(name)
    await _while(cluster, 45)
    cluster.network.heal(name)


async def reset_connections(cluster: SimulatedCluster) -> None:
    """Requests under way have happened, or not."""
    cluster.network.reset(cluster.random.choice([*sorted(cluster.nodes), "user"]))


async def slow_network(cluster: SimulatedCluster) -> None:
    """Messages take up to half a second."""
    cluster.network.delay_seconds_max = 0.5
    await _while(cluster, 10)
    cluster.network.delay_seconds_max = 0.002


async def slow_disk(cluster: SimulatedCluster) -> None:
    """Writes of the control plane take up to a second."""
    cluster.disk.write_seconds_max = 1.0
    await _while(cluster, 6)
    cluster.disk.write_seconds_max = 0.002


async def fill_disk(cluster: SimulatedCluster) -> None:
    """The control plane cannot write."""
    cluster.disk.is_full = True
    await _while(cluster, 6)
    cluster.disk.is_full = False


async def step_clock(cluster: SimulatedCluster) -> None:
    """The wall clock of one host jumps, and is put right later."""
    clock = cluster.random.choice([cluster.control.clock, cluster.choose_node().clock])
    clock.error = timedelta(seconds=cluster.random.choice([-3600, -30, 30, 3600, 400 * 86400]))
    await _while(cluster, 20)
    clock.error = timedelta()


async def suspend_machine(cluster: SimulatedCluster) -> None:
    """Everything sleeps, as on a laptop that was closed."""
    cluster.loop.jump(cluster.random.choice([5, 60, 900]))


FAULTS: dict[str, Fault] = {
    "the control plane is killed": kill_control_plane,
    "the control plane is killed often": kill_control_plane_often,
    "an agent is killed": kill_agent,
    "an agent is killed often": kill_agent_often,
    "a node is killed": kill_node,
    "a container dies": kill_container,
    "a sandbox dies": kill_sandbox,
    "an engine restarts": restart_engine,
    "an engine hangs": hang_engine,
    "calls to an engine fail": break_engine_calls,
    "an engine's events are lost": lose_engine_events,
    "a node is cut off": cut_node_off,
    "connections are reset": reset_connections,
    "the network is slow": slow_network,
    "the disk is slow": slow_disk,
    "the disk is full": fill_disk,
    "a clock is stepped": step_clock,
    "the machine is suspended": suspend_machine,
}
