"""A machine for the scripts that prepare one: a directory of programs, most of them stubs, and a root directory."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SCRIPTS = Path(__file__).parents[3] / "scripts"
#: what every machine has, and no test replaces
REAL = (
    *("awk", "bash", "cat", "cp", "dirname", "env", "flock", "grep", "head", "ls", "mkdir", "mktemp", "rm", "rmdir"),
    *("seq", "setsid", "sh", "tail", "touch", "uname", "wc"),
)


class Machine:
    """Programs that are found, and the calls of those that are stubs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "programs"
        self.root = directory / "root"
        self._calls = directory / "calls"
        for made in (self.programs, self.root, directory / "tmp"):
            made.mkdir()
        self._calls.touch()
        for name in REAL:
            self.link(name)
        self.stub("id", 'if [ "$1" = -u ]; then echo 0; else echo root; fi', recorded=False)
        self.stub("sleep", recorded=False)
        self.stub("mountpoint", recorded=False)

    @property
    def calls(self) -> list[str]:
        """What was called, without apt's options."""
        return self._calls.read_text().splitlines()

    def link(self, name: str) -> None:
        """Let a program of the real machine be found."""
        found = shutil.which(name)
        assert found, f"{name} is missing"
        (self.programs / name).symlink_to(found)

    def stub(self, name: str, script: str = "", *, recorded: bool = True) -> Path:
        """A program that runs a script in the machine's directory; its call is recorded under its name."""
        path = self.programs / name
        path.unlink(missing_ok=True)
        path.write_text(self.stub_text(name, script, recorded=recorded))
        path.chmod(0o755)
        return path

    def stub_text(self, name: str, script: str, *, recorded: bool = True) -> str:
        """The text of such a program."""
        drop_options = 'while [ "$1" = -o ]; do shift 2; done; ' if name == "apt-get" else ""
        record = f'{drop_options}echo "{name} $*" >>{self._calls}' if recorded else ""
        return f"#!{shutil.which('bash')}\nhere={self.directory}\n{record}\n{script}\n"

    def run(self, *command: str | Path, umask: int = -1, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command with the machine's programs alone."""
        return subprocess.run(
            [str(item) for item in command],
            cwd=self.directory,
            env=self.environment | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            umask=umask,
        )

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the real machine's but its temporary directory's place, which is here."""
        return {
            "PATH": str(self.programs),
            "TMPDIR": str(self.directory / "tmp"),
            "PODLING_MACHINE_ROOT": str(self.root),
            "LANG": os.environ.get("LANG", "C"),
        }
