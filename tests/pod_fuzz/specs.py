"""Random Pods that the API server would accept, and images whose programs do all that a program can do."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from agent.runtime.fake_container import Program
from control.api.objects import Object

#: What the programs of the images do; `moody:1` draws one of these each time.
PROGRAMS: Mapping[str, Program] = {
    "serve:1": Program(),
    "serve:2": Program(),
    "stubborn:1": Program(ignores_sigterm=True),
    "done:1": Program(runs_seconds=2.0),
    "instant:1": Program(runs_seconds=0.0),
    "fail:1": Program(runs_seconds=1.0, exit_code=1),
    "late-fail:1": Program(runs_seconds=25.0, exit_code=3),
    "start-over:1": Program(runs_seconds=4.0, exit_code=42),
    "oom:1": Program(runs_seconds=3.0, exit_code=137, oom_killed=True),
    "broken:1": Program(start_error="exec: no such file"),
}
PULLED = {"pulled:1": Program(), "pulled-task:1": Program(runs_seconds=3.0)}
ABSENT = "absent:1"
#: nobody has published it when the story begins
LATE = "late:1"
MOODY = "moody:1"
#: Weights: most programs serve, as in life.
REGULAR_IMAGES = (
    *("serve:1",) * 5,
    "stubborn:1",
    "pulled:1",
    "pulled-task:1",
    *PROGRAMS,
    MOODY,
    MOODY,
    ABSENT,
    LATE,
    LATE,
)
INIT_IMAGES = (*("done:1", "instant:1") * 4, "pulled-task:1", "fail:1", "broken:1", MOODY, "start-over:1")
SIDECAR_IMAGES = (*("serve:1",) * 5, "stubborn:1", "pulled:1", MOODY, "late-fail:1", LATE)
HOOKS = (
    {"exec": {"command": ["ok"]}},
    {"exec": {"command": ["fail"]}},
    {"exec": {"command": ["hang"]}},
    {"sleep": {"seconds": 2}},
)


def draw_pod(random: Random, name: str) -> Object:
    """A Pod bound to the node."""
    spec: Object = {
        "nodeName": "node-1",
        "restartPolicy": random.choice(("Always", "Always", "OnFailure", "Never")),
        "terminationGracePeriodSeconds": random.choice((0, 1, 2, 5, 30)),
        "shareProcessNamespace": random.random() < 0.5,
        "containers": [_regular(random, f"main-{n}") for n in range(random.choice((1, 1, 2, 3)))],
    }
    initial = [_initial(random, f"init-{n}") for n in range(random.choice((0, 0, 1, 2, 3)))]
    if initial:
        spec["initContainers"] = initial
    if random.random() < 0.15:
        spec["activeDeadlineSeconds"] = random.choice((1, 5, 20, 60))
    if random.random() < 0.1:
        spec["hostNetwork"] = True
    elif random.random() < 0.15:
        spec["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": random.choice((8080, 8081))}]
    if random.random() < 0.2:
        spec["readinessGates"] = [{"conditionType": "example.com/gate"}]
    if random.random() < 0.3:
        spec["volumes"] = [{"name": "scratch", "emptyDir": {}}]
        if random.random() < 0.4:
            spec["volumes"].append({"name": "files", "image": {"reference": "pulled:1", "pullPolicy": "IfNotPresent"}})
        for number, container in enumerate([*initial, *spec["containers"]]):
            mount: Object = {"name": "scratch", "mountPath": "/scratch"}
            container["volumeMounts"] = [{**mount, "readOnly": True} if number % 2 else mount]
    if random.random() < 0.15:
        spec["resources"] = draw_resources(random)
    if random.random() < 0.2:
        spec["securityContext"] = {"runAsUser": 1000, "fsGroup": 2000, "supplementalGroups": [3000]}
    metadata: Object = {"name": name, "namespace": "default", "labels": {"app": name}}
    if random.random() < 0.05:
        metadata["labels"]["refused"] = "true"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def draw_resources(random: Random) -> Object:
    """Requests, limits, both or none."""
    cpu, memory = random.choice(("100m", "250m", "1")), random.choice(("64Mi", "128Mi", "1Gi"))
    amounts = {"cpu": cpu, "memory": memory}
    return random.choice(({}, {"requests": amounts}, {"requests": amounts, "limits": amounts}))


def draw_ephemeral(random: Random, name: str) -> Object:
    """What `kubectl debug` adds."""
    image = random.choice(("serve:1", "done:1", "fail:1", ABSENT, LATE))
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent"}


def _container(random: Random, name: str, image: str) -> Object:
    policy = "Always" if image.startswith("pulled") and random.random() < 0.5 else "IfNotPresent"
    container: Object = {"name": name, "image": image, "imagePullPolicy": policy}
    if random.random() < 0.3:
        container["resources"] = draw_resources(random)
    if random.random() < 0.2:
        container["resizePolicy"] = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    if random.random() < 0.2:
        container["securityContext"] = {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    return container


def _regular(random: Random, name: str) -> Object:
    container = _container(random, name, random.choice(REGULAR_IMAGES))
    _add_restart_rules(random, container)
    _add_probes_and_hooks(random, container)
    return container


def _initial(random: Random, name: str) -> Object:
    if random.random() < 0.5:
        container = _container(random, name, random.choice(SIDECAR_IMAGES))
        container["restartPolicy"] = "Always"
        _add_probes_and_hooks(random, container)
        return container
    container = _container(random, name, random.choice(INIT_IMAGES))
    _add_restart_rules(random, container)
    return container


def _add_restart_rules(random: Random, container: Object) -> None:
    """A policy of its own; the API accepts rules only beside one."""
    if random.random() < 0.25:
        container["restartPolicy"] = random.choice(("Never", "OnFailure"))
        if container["name"].startswith("main") and random.random() < 0.3:
            container["restartPolicy"] = "Always"
        if random.random() < 0.5:
            action = random.choice(("Restart", "RestartAllContainers"))
            codes = random.choice(([1], [42], [3, 137]))
            container["restartPolicyRules"] = [{"action": action, "exitCodes": {"operator": "In", "values": codes}}]


def _add_probes_and_hooks(random: Random, container: Object) -> None:
    for field, chance in (("readinessProbe", 0.3), ("livenessProbe", 0.2), ("startupProbe", 0.2)):
        if random.random() < chance:
            container[field] = _probe(random, field)
    hooks = {name: random.choice(HOOKS) for name in ("postStart", "preStop") if random.random() < 0.12}
    if hooks:
        container["lifecycle"] = hooks


def _probe(random: Random, field: str) -> Object:
    handler: dict[str, Any] = random.choice(({"exec": {"command": ["ok"]}}, {"tcpSocket": {"port": 80}}))
    probe = {
        **handler,
        "periodSeconds": random.choice((1, 2, 10)),
        "timeoutSeconds": 1,
        "failureThreshold": random.choice((1, 3)),
        "successThreshold": random.choice((1, 2)) if field == "readinessProbe" else 1,
        "initialDelaySeconds": random.choice((0, 0, 3)),
    }
    if field != "readinessProbe" and random.random() < 0.3:
        probe["terminationGracePeriodSeconds"] = random.choice((1, 4))
    return probe
