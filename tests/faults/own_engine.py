"""A Docker Engine of the test's own, on a file system of its own: it may be killed, stopped and filled up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.cluster import run, wait_for

#: Well above what a node reports as disk pressure; the file behind it is sparse.
DISK_BYTES = 1 << 30
BLOCK_BYTES = 4096


class OwnEngine:
    """dockerd without iptables and with a bridge of its own, the rest of it in one directory."""

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self._data = directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._containerd_pid = directory / "exec" / "containerd" / "containerd.pid"
        # The path of a Unix socket is limited to about 100 bytes.
        self.host = f"unix://{directory}/d.sock"
        # Not `--bridge=none`: that makes a dockerd delete docker0, whosever it is.
        self._bridge = f"ptest{os.getpid() % 10**6}"

    def start(self) -> None:
        """Start dockerd, also after `kill`, and wait until it answers."""
        if not self._data.is_mount():
            self._make_disk()
        if not Path(f"/sys/class/net/{self._bridge}").exists():
            run(["ip", "link", "add", self._bridge, "type", "bridge"])
            run(["ip", "address", "add", "192.168.245.1/24", "dev", self._bridge])
        with (self._root / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd",
                    *("--host", self.host, "--data-root", str(self._data), "--exec-root", str(self._root / "exec")),
                    *("--pidfile", str(self._root / "pid"), "--bridge", self._bridge, "--iptables=false"),
                    *("--storage-driver", "overlay2"),
                ],
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: self.docker("version", check=False).returncode == 0, "dockerd answers")

    def _make_disk(self) -> None:
        image = self._root / "disk"
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        run(["mkfs.ext4", "-q", "-m", "0", str(image)])
        self._data.mkdir(exist_ok=True)
        run(["mount", "-o", "loop", str(image), str(self._data)])

    def stop(self) -> None:
        """End dockerd as a service manager does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9. Its containerd dies with it; where nobody reaps that, dockerd would take the zombie for alive."""
        self._end(signal.SIGKILL)
        self._containerd_pid.unlink(missing_ok=True)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=60)
            self._process = None
            (self._root / "pid").unlink(missing_ok=True)

    def pause(self) -> None:
        """Let it hang: it accepts connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End the hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """Take what is left of its disk."""
        with (self._data / "filler").open("wb") as filler:
            taken, chunk = 0, DISK_BYTES
            while chunk >= BLOCK_BYTES:
                try:
                    os.posix_fallocate(filler.fileno(), taken, chunk)
                    taken += chunk
                except OSError:
                    chunk //= 2

    def free_disk(self) -> None:
        """Undo `fill_disk`."""
        (self._data / "filler").unlink(missing_ok=True)

    def delete(self) -> None:
        """End it with everything it has."""
        if self._process is not None:
            self.resume()
            self.stop()
        self._kill_shims()
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if (path := line.split()[4]).startswith(str(self._root)):
                run(["umount", "--lazy", path], check=False)
        run(["ip", "link", "delete", self._bridge], check=False)

    def _kill_shims(self) -> None:
        """End what a dockerd that was killed and not started again has left: the shims and the containers in them."""
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace") if entry.name.isdigit() else ""
                if "containerd-shim" in command and str(self._root) in command:
                    children = (entry / "task" / entry.name / "children").read_text().split()
                    for pid in (*children, entry.name):
                        os.kill(int(pid), signal.SIGKILL)
            except (OSError, ValueError):
                continue

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the docker command on it."""
        return run(["docker", "--host", self.host, *arguments], check=check)

    def copy_image(self, image: str) -> None:
        """Copy an image from the shared engine."""
        archive = self._root / "image.tar"
        run(["docker", "save", "-o", str(archive), image])
        self.docker("load", "-i", str(archive))
        archive.unlink()

    def containers(self, *options: str) -> list[dict[str, Any]]:
        """`docker inspect` of the containers that `docker ps` lists with the options."""
        ids = self.docker("ps", "-q", "--no-trunc", *options).stdout.split()
        return json.loads(self.docker("inspect", *ids, check=False).stdout) if ids else []
