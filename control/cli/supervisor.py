"""The supervisor: keeps the processes of one cluster running. Standard library only, so that it stays small.

It starts what `processes.json` lists, restarts what crashes with a growing delay, and takes one-line JSON commands on
a Unix socket. Each process gets the read end of a pipe as its standard input: when the supervisor dies, however it
dies, the pipe closes and they exit by themselves (the Pods keep running), so there are never two of anything.

One thread, one selector: signals arrive on a wake-up descriptor, commands on the socket.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from control.cli.port_reservation import reserve_port

RESTART_DELAY_SECONDS_MIN = 0.1
RESTART_DELAY_SECONDS_MAX = 10.0
STABLE_SECONDS = 30.0
STOP_SECONDS_MAX = 20.0
LOG_BYTES_MAX = 16 * 1024 * 1024


class SupervisedProcess:
    """One entry of processes.json and its running process, if any."""

    def __init__(self, name: str, command: list[str], log_file: Path, *, wanted: bool) -> None:
        self.name = name
        self.command = command
        self.log_file = log_file
        self.wanted = wanted
        self.process: subprocess.Popen[bytes] | None = None
        self.lifeline: int | None = None
        self.restarts = 0
        self.delay_seconds = RESTART_DELAY_SECONDS_MIN
        self.started_at = 0.0
        self.restart_at = 0.0
        self.exit_status: int | None = None
        self.is_asked_to_restart = False

    @property
    def pid(self) -> int:
        """Process id, 0 if it is not running."""
        return self.process.pid if self.process else 0

    def start(self, now: float) -> None:
        """Start the process with its log and its lifeline."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES_MAX:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        read_end, self.lifeline = os.pipe()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=read_end, stdout=log, stderr=log, start_new_session=True, close_fds=True
            )
        os.close(read_end)
        self.started_at = now
        self.exit_status = None

    def observe_exit(self, now: float) -> bool:
        """Note an exit and plan the restart; returns whether it just exited."""
        if self.process is None or (status := self.process.poll()) is None:
            return False
        self.process = None
        self.exit_status = status
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None
        if now - self.started_at > STABLE_SECONDS:
            self.delay_seconds = RESTART_DELAY_SECONDS_MIN
        if self.is_asked_to_restart:
            self.restart_at = now
            return True
        self.restart_at = now + self.delay_seconds
        self.delay_seconds = min(self.delay_seconds * 2, RESTART_DELAY_SECONDS_MAX)
        return True

    def signal(self, number: int) -> None:
        """Send a signal if it runs."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def describe(self) -> dict[str, Any]:
        """State for `podling status`."""
        return {
            "name": self.name,
            "pid": self.pid,
            "wanted": self.wanted,
            "restarts": self.restarts,
            "exitStatus": self.exit_status,
        }


class Supervisor:
    """All processes of a cluster, the command socket and the loop."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._processes: dict[str, SupervisedProcess] = {}
        self._ports: dict[int, socket.socket | None] = {}
        self._stopping = False
        self._stop_began = 0.0
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Run until stopped; returns the exit status."""
        lock = (self._root / "supervisor.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("Another supervisor runs this cluster")
            return 1
        lock.write(str(os.getpid()))
        lock.flush()
        wakeup_read, wakeup_write = os.pipe()
        os.set_blocking(wakeup_read, False)
        os.set_blocking(wakeup_write, False)
        signal.set_wakeup_fd(wakeup_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._load()
        listener = self._listen()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(wakeup_read, selectors.EVENT_READ)
        while not (self._stopping and all(not item.pid for item in self._processes.values())):
            self.step(time.monotonic())
            for key, _ in self._selector.select(self._timeout(time.monotonic())):
                if key.fileobj is listener:
                    self._serve(listener)
                else:
                    os.read(wakeup_read, 4096)
        (self._root / "supervisor.sock").unlink(missing_ok=True)
        return 0

    def step(self, now: float) -> None:
        """Note exits; start and stop what differs from what is wanted."""
        for item in self._processes.values():
            if item.observe_exit(now):
                log("Process exited", name=item.name, status=item.exit_status, wanted=item.wanted)
                item.restarts += item.wanted and not self._stopping and not item.is_asked_to_restart
                item.is_asked_to_restart = False
            if item.wanted and not self._stopping and item.process is None and now >= item.restart_at:
                item.start(now)
                log("Started process", name=item.name, pid=item.pid)
            if self._stopping and item.pid and now - self._stop_began > STOP_SECONDS_MAX:
                item.signal(signal.SIGKILL)

    def _timeout(self, now: float) -> float | None:
        if self._stopping:
            return 0.5
        waits = [item.restart_at - now for item in self._processes.values() if item.wanted and not item.pid]
        return max(0.0, min(waits)) if waits else None

    def _load(self) -> None:
        """Read processes.json; new entries appear, vanished ones are stopped, running ones stay as they are."""
        listed = json.loads((self._root / "processes.json").read_text())
        self._reserve({entry["port"] for entry in listed})
        for entry in listed:
            known = self._processes.get(entry["name"])
            if known is None:
                self._processes[entry["name"]] = SupervisedProcess(
                    entry["name"], entry["command"], Path(entry["log"]), wanted=entry["wanted"]
                )
            else:
                known.command = entry["command"]
                if entry["wanted"] and not known.wanted:
                    known.restart_at = 0.0
                elif known.wanted and not entry["wanted"]:
                    known.signal(signal.SIGTERM)
                known.wanted = entry["wanted"]
        for name in self._processes.keys() - {entry["name"] for entry in listed}:
            self._processes[name].wanted = False
            self._processes[name].signal(signal.SIGTERM)

    def _reserve(self, ports: set[int]) -> None:
        """Hold exactly these ports; one that another supervisor holds is for the process to complain of."""
        for port in self._ports.keys() - ports:
            if (holder := self._ports.pop(port)) is not None:
                holder.close()
        for port in ports - self._ports.keys():
            self._ports[port] = reserve_port(port)

    def _listen(self) -> socket.socket:
        path = self._root / "supervisor.sock"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A Unix socket's path is limited to about 100 bytes; a relative one is as long as its name.
        os.chdir(self._root)
        previous_mask = os.umask(0o177)
        listener.bind(path.name)
        os.umask(previous_mask)
        listener.listen()
        return listener

    def _serve(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(1.0)
            try:
                request = json.loads(connection.makefile("r").readline())
                answer = self.answer(request)
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except (OSError, ValueError, KeyError) as error:
                log("Refused a command", error=repr(error))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command: status, reload, restart NAME, stop.

        kill NAME (SIGKILL) and shutdown NAME (SIGUSR1: gracefully, in its own time) end a process until reload.
        """
        command = request["command"]
        if command == "reload":
            self._load()
        elif command == "restart":
            item = self._processes[request["name"]]
            item.is_asked_to_restart = item.process is not None
            item.signal(signal.SIGTERM)
        elif command == "kill":
            item = self._processes[request["name"]]
            item.wanted = False
            item.signal(signal.SIGKILL)
            if item.process is not None:
                item.process.wait()
        elif command == "shutdown":
            item = self._processes[request["name"]]
            item.wanted = False
            item.signal(signal.SIGUSR1)
        elif command == "stop":
            self._stop()
        elif command != "status":
            return {"error": f"unknown command {command}"}
        return {"pid": os.getpid(), "processes": [item.describe() for item in self._processes.values()]}

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._stop_began = time.monotonic()
            for item in self._processes.values():
                item.signal(signal.SIGTERM)


def log(message: str, **fields: object) -> None:
    """Write one line of the supervisor's log."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(stamp, message, *(f"{key}={value}" for key, value in fields.items()), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(Supervisor(Path(sys.argv[1])).run())
