"""A whole cluster in one thread: real control plane, real agents, and time, network, disk and engines that are not.

`loop.py` is the time, `network.py`, `disk.py` and `engine.py` are the world, `control_plane.py` and `node.py` are the
programs under test, `workload.py` and `faults.py` what happens to them, `*_properties.py` what must hold, `trace.py`
what is left to read. `make sim SEED=…` replays a seed.
"""
