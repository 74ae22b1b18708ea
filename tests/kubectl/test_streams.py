"""exec, attach, port-forward, cp and logs -f with every kubectl: SPDY/3.1 up to 1.30, WebSocket from 1.31 on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest

from tests.cluster import Cluster, Kubectl, find_kubectls, wait_for

pytestmark = pytest.mark.docker
Run = Callable[..., Any]

ECHO_PORT, CLOSED_PORT = 7001, 81
BOX = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: busybox
      imagePullPolicy: IfNotPresent
      command: ["sh", "-c", "nc -ll -p 7001 -e cat & exec sleep 100000"]
      readinessProbe: {tcpSocket: {port: 7001}, periodSeconds: 1}
    - name: web
      image: nginx
      imagePullPolicy: IfNotPresent
      readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
"""
#: of one whose first process prints, as a sign that somebody is attached to it
TALKING = BOX.replace("exec sleep 100000", "while true; do echo tick; sleep 0.2; done")


WEBSOCKET_SINCE = (1, 31)


def oldest_and_newest_of_each_protocol() -> list[Kubectl]:
    """The versions with which everything is tested."""
    found = find_kubectls()
    protocols = ([item for item in found if (item.version >= WEBSOCKET_SINCE) is does] for does in (False, True))
    return [item for some in protocols for item in dict.fromkeys((*some[:1], *some[-1:]))]


def versions_between() -> list[Kubectl]:
    """The others, with which every kind of stream is tested once."""
    return [item for item in find_kubectls() if item not in oldest_and_newest_of_each_protocol()]


@pytest.fixture(params=oldest_and_newest_of_each_protocol() or [None], ids=str)
def binary(request: pytest.FixtureRequest) -> Kubectl:
    """The kubectl under test."""
    assert request.param is not None, "no kubectl on this machine (PODLING_KUBECTLS names more)"
    found: Kubectl = request.param
    return found


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """One namespace for all tests of this file."""
    name = f"streams-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=true")


@pytest.fixture(scope="module")
def box(cluster: Cluster, namespace: str) -> str:
    """A Ready Pod for all tests of this file: a busybox with an echo port, and an nginx."""
    return make_box(cluster, namespace, "box")


def make_box(cluster: Cluster, namespace: str, name: str, manifest: str = BOX) -> str:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=manifest.replace("NAME", name))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")
    return name


@pytest.fixture
def start(cluster: Cluster, namespace: str, binary: Kubectl) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a command that runs on; it is killed with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def popen(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options
        made = subprocess.Popen([binary.path, "-n", namespace, *arguments], env=cluster.env, **options)
        running.append(made)
        return made

    yield popen
    for process in running:
        process.kill()
        process.wait()


def test_exec_carries_output_input_errors_and_the_exit_code(kubectl: Run, box: str) -> None:
    assert kubectl("exec", box, "-c", "main", "--", "echo", "hello").stdout == "hello\n"
    assert kubectl("exec", "-i", box, "-c", "main", "--", "cat", stdin="typed\n").stdout == "typed\n"
    failed = kubectl("exec", box, "-c", "main", "--", "sh", "-c", "echo out; echo wrong >&2; exit 7", check=False)
    assert (failed.returncode, failed.stdout) == (7, "out\n")
    assert "wrong\n" in failed.stderr
    assert "command terminated with exit code 7" in failed.stderr
    unknown = kubectl("exec", box, "-c", "none", "--", "true", check=False)
    assert unknown.returncode == 1
    assert "container none is not valid for pod box" in unknown.stderr


def test_exec_ends_though_its_client_still_sends(kubectl: Run, box: str) -> None:
    endless = "x" * (4 << 20)
    done = kubectl("exec", "-i", box, "-c", "main", "--", "sh", "-c", "head -c 3; exit 4", stdin=endless, check=False)
    assert (done.returncode, done.stdout) == (4, "xxx")


@contextmanager
def terminal(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """A pseudo-terminal of that size: the test's end and the command's."""
    leader, follower = pty.openpty()
    set_size(leader, rows, columns)
    try:
        yield leader, follower
    finally:
        os.close(leader)


def set_size(leader: int, rows: int, columns: int) -> None:
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read_until(leader: int, pattern: bytes, *, again: Callable[[], None] | None = None) -> bytes:
    """Read from a terminal until the pattern shows; `again` is called whenever nothing came for half a second."""
    seen, deadline = b"", time.monotonic() + 120
    while not re.search(pattern, seen):
        assert time.monotonic() < deadline, seen
        if select.select([leader], [], [], 0.5)[0]:
            try:
                seen += os.read(leader, 65536)
            except OSError:
                break  # the command has closed its end
        elif again is not None:
            again()
    assert re.search(pattern, seen), seen
    return seen


def in_terminal(follower: int) -> dict[str, Any]:
    return {
        "stdin": follower,
        "stdout": follower,
        "stderr": follower,
        "start_new_session": True,
        "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    }


def test_exec_in_a_terminal_follows_its_size(start: Any, box: str) -> None:
    with terminal(40, 120) as (leader, follower):
        shell = start("exec", "-it", box, "-c", "main", "--", "sh", **in_terminal(follower))
        os.close(follower)
        read_until(leader, rb"[#$] ")
        ask = lambda: os.write(leader, b"stty size; tty\n")  # noqa: E731
        ask()
        assert b"/dev/pts/" in read_until(leader, rb"40 120\r\n[^#]*/dev/pts", again=ask)
        set_size(leader, 55, 77)
        shell.send_signal(signal.SIGWINCH)
        read_until(leader, rb"55 77\r\n", again=ask)
        os.write(leader, b"exit 5\n")
        assert shell.wait(timeout=120) == 5


def test_run_attaches_shows_and_removes(cluster: Cluster, namespace: str, start: Any) -> None:
    command = ["sh", "-c", "read word; echo got-$word; exit 3"]
    flags = ["--restart=Never", "--image=busybox", "--image-pull-policy=IfNotPresent"]
    with terminal(24, 80) as (leader, follower):
        attached = start("run", "-it", "--rm", *flags, "once", "--", *command, **in_terminal(follower))
        os.close(follower)
        read_until(leader, rb"prompt")
        os.write(leader, b"hey\n")
        read_until(leader, rb"got-hey\r\n")
        read_until(leader, rb'pod "once" deleted')
        assert attached.wait(timeout=120) == 3
    gone = lambda: cluster.kubectl("-n", namespace, "get", "pod", "once", check=False).returncode == 1  # noqa: E731
    wait_for(gone, "the Pod is gone")


def run_ticker(cluster: Cluster, namespace: str, name: str) -> None:
    """A Pod that prints now and then, until it is gone."""
    script = "while true; do echo tick; sleep 0.2; done"
    flags = ["--restart=Never", "--image=busybox", "--image-pull-policy=IfNotPresent"]
    cluster.kubectl("-n", namespace, "run", name, *flags, "--", "sh", "-c", script)
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")


def test_attach_sees_what_the_container_prints_and_ends_with_it(cluster: Cluster, namespace: str, start: Any) -> None:
    run_ticker(cluster, namespace, "ticker")
    attached = start("attach", "ticker")
    assert attached.stdout
    while b"tick" not in attached.stdout.readline():
        pass
    cluster.kubectl("-n", namespace, "delete", "pod", "ticker", "--grace-period=1")
    attached.stdout.read()
    assert attached.wait(timeout=120) == 0


def test_cp_copies_files_and_folders_both_ways(kubectl: Run, box: str, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "deep").mkdir(parents=True)
    (source / "big").write_bytes(os.urandom(10 << 20))
    (source / "deep" / "small").write_text("small\n")
    remote = f"/tmp/{uuid.uuid4().hex}"
    kubectl("cp", str(source), f"{box}:{remote}", "-c", "main")
    listed = kubectl("exec", box, "-c", "main", "--", "sha256sum", f"{remote}/big").stdout
    assert listed.split()[0] == hashlib.sha256((source / "big").read_bytes()).hexdigest()
    back = tmp_path / "back"
    kubectl("cp", f"{box}:{remote}", str(back), "-c", "main")
    assert (back / "big").read_bytes() == (source / "big").read_bytes()
    assert (back / "deep" / "small").read_text() == "small\n"


def forward(start: Any, pod: str, *ports: int) -> tuple[subprocess.Popen[bytes], dict[int, int]]:
    """`kubectl port-forward` to free local ports, once it listens: the process, and the local port of each port."""
    process = start("port-forward", f"pod/{pod}", "--address=127.0.0.1", *(f":{port}" for port in ports))
    local: dict[int, int] = {}
    while len(local) < len(ports):
        line = process.stdout.readline().decode()
        assert line, "port-forward ended"
        if match := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)", line):
            local[int(match[2])] = int(match[1])
    return process, local


def test_port_forward_serves_many_connections_and_half_closed_ones(start: Any, box: str) -> None:
    _, local = forward(start, box, 80, ECHO_PORT)
    for _ in range(5):
        with urllib.request.urlopen(f"http://127.0.0.1:{local[80]}/", timeout=120) as page:
            assert b"Welcome to nginx" in page.read()
    content = os.urandom(4 << 20)
    with socket.create_connection(("127.0.0.1", local[ECHO_PORT]), timeout=120) as connection:
        # More than all buffers hold, so it is read while it is written.
        sender = os.fork()
        if sender == 0:
            try:
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
            finally:
                os._exit(0)
        received = b""
        while chunk := connection.recv(1 << 18):
            received += chunk
        os.waitpid(sender, 0)
    assert received == content


def test_port_forward_says_why_a_port_is_closed(start: Any, box: str) -> None:
    process, local = forward(start, box, CLOSED_PORT)
    with socket.create_connection(("127.0.0.1", local[CLOSED_PORT]), timeout=120) as connection:
        assert connection.recv(1) == b""
    text = ""
    while "an error occurred forwarding" not in text:
        line = process.stdout.readline().decode()
        assert line, text
        text += line
    assert "error forwarding port 81 to pod " in text
    assert "IPv4: dial tcp4 127.0.0.1:81: connect: connection refused" in text


def test_streams_end_with_their_pod(cluster: Cluster, namespace: str, start: Any) -> None:
    doomed = make_box(cluster, namespace, "doomed")
    _, local = forward(start, doomed, ECHO_PORT)
    sleeping = start("exec", "-i", doomed, "-c", "main", "--", "sh", "-c", "echo started; exec sleep 1000")
    assert sleeping.stdout.readline() == b"started\n"
    with socket.create_connection(("127.0.0.1", local[ECHO_PORT]), timeout=120) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"
        cluster.kubectl("-n", namespace, "delete", "pod", doomed)
        assert connection.recv(1) == b""
    assert sleeping.wait(timeout=120) == 137


@pytest.mark.parametrize("binary", oldest_and_newest_of_each_protocol()[-1:], ids=str, indirect=True)
def test_streams_end_with_their_container_though_the_pod_lives_on(cluster: Cluster, namespace: str, start: Any) -> None:
    """With a shared process namespace the command outlives the container's first process, and Docker its stream."""
    mortal = make_box(cluster, namespace, "mortal-box", TALKING)
    attached = start("attach", mortal, "-c", "main")
    while b"tick" not in attached.stdout.readline():
        pass
    command = start("exec", "-i", mortal, "-c", "main", "--", "sh", "-c", "echo started; exec sleep 1000")
    assert command.stdout.readline() == b"started\n"
    os.kill(cluster.containers(mortal, "main")[0]["State"]["Pid"], signal.SIGKILL)
    assert command.wait(timeout=120) == 137
    attached.stdout.read()
    assert attached.wait(timeout=120) == 0
    restarted = lambda: len(cluster.containers(mortal, "main", everything=True)) == 2  # noqa: E731
    wait_for(restarted, "the container runs again")


@pytest.mark.parametrize("binary", versions_between(), ids=str, indirect=True)
def test_every_kind_of_stream_once(
    cluster: Cluster, namespace: str, kubectl: Run, start: Any, box: str, tmp_path: Path
) -> None:
    failed = kubectl("exec", "-i", box, "-c", "main", "--", "sh", "-c", "cat; exit 7", stdin="typed\n", check=False)
    assert (failed.returncode, failed.stdout) == (7, "typed\n")
    (tmp_path / "file").write_text("content\n")
    remote = f"/tmp/{uuid.uuid4().hex}"
    kubectl("cp", str(tmp_path / "file"), f"{box}:{remote}", "-c", "main")
    kubectl("cp", f"{box}:{remote}", str(tmp_path / "back"), "-c", "main")
    assert (tmp_path / "back").read_text() == "content\n"
    _, local = forward(start, box, 80)
    with urllib.request.urlopen(f"http://127.0.0.1:{local[80]}/", timeout=120) as page:
        assert b"Welcome to nginx" in page.read()
    run_ticker(cluster, namespace, "once-ticker")
    attached = start("attach", "once-ticker")
    while b"tick" not in attached.stdout.readline():
        pass
    cluster.kubectl("-n", namespace, "delete", "pod", "once-ticker", "--grace-period=1")
    attached.stdout.read()
    assert attached.wait(timeout=120) == 0


FOLLOWERS, WRITES = 100, 50
COUNT = """
n=0
until [ -e /tmp/stop ]; do n=$((n+1)); echo line $n; sleep 0.02; done
echo last
exec sleep 36000
"""


def test_a_hundred_followed_logs_starve_nothing_and_miss_no_line(cluster: Cluster, namespace: str, box: str) -> None:
    flags = ["--restart=Never", "--image=busybox", "--image-pull-policy=IfNotPresent"]
    cluster.kubectl("-n", namespace, "run", "chatty", *flags, "--", "sh", "-c", COUNT)
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/chatty", "--timeout=120s")
    path = f"/api/v1/namespaces/{namespace}/pods/chatty/log?follow=true"
    with proxied(cluster) as address, ExitStack() as stack:
        followers = [stack.enter_context(ask(address, path).makefile("r")) for _ in range(FOLLOWERS)]
        texts = [read_to(follower, "line 1") for follower in followers]
        # The log grows until the file is there: all of this happens while it does.
        assert cluster.kubectl("-n", namespace, "exec", box, "-c", "main", "--", "echo", "hi").stdout == "hi\n"
        names = [f"while-followed-{number}" for number in range(WRITES)]
        maps = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} for name in names]
        listed = {"apiVersion": "v1", "kind": "List", "items": maps}
        cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(listed))
        cluster.kubectl("-n", namespace, "exec", "chatty", "--", "touch", "/tmp/stop")
        whole = {text + read_to(follower, "last") for text, follower in zip(texts, followers, strict=True)}
        [text] = whole
        lines = re.findall(r"^(?:line \d+|last)$", text, re.MULTILINE)
        assert lines == [*(f"line {number}" for number in range(1, len(lines))), "last"]
        cluster.kubectl("-n", namespace, "delete", "pod", "chatty", "--grace-period=0", "--force")
        for follower in followers:
            follower.read()


def read_to(follower: TextIO, line: str) -> str:
    """What comes until that line, without the frames of HTTP."""
    text = ""
    while not text.endswith(f"{line}\n"):
        received = follower.readline()
        assert received, text
        if received.startswith(("line ", "last")):
            text += received
    return text


@contextmanager
def proxied(cluster: Cluster) -> Iterator[tuple[str, int]]:
    """`kubectl proxy` on a free port."""
    command = ["kubectl", "proxy", "--port=0"]
    process = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        host, port = process.stdout.readline().split()[-1].rsplit(":", 1)
        yield host, int(port)
    finally:
        process.kill()
        process.wait()


def ask(address: tuple[str, int], path: str) -> socket.socket:
    made = socket.create_connection(address, timeout=120)
    made.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return made
