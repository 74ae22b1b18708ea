"""Which platforms' programs the node runs: its own, its processor's older one, and what the host emulates."""

from __future__ import annotations

from pathlib import Path

EMULATORS = Path("/proc/sys/fs/binfmt_misc")

# What a 64-bit kernel of the same family runs as well.
_ALSO_RUNS = {"amd64": ("386",), "arm64": ("arm",)}
# The kernel's names of architectures in the entries that QEMU's packages register.
_EMULATED = {
    "386": "i386", "amd64": "x86_64", "arm64": "aarch64", "arm": "arm", "ppc64le": "ppc64le", "s390x": "s390x",
    "riscv64": "riscv64", "mips64le": "mips64el", "loong64": "loongarch64",
}  # fmt: skip


def can_run(platform: str, node_architecture: str, emulators: Path = EMULATORS) -> bool:
    """Whether programs of a platform (`linux/arm64`; empty if unknown) run on a node of an architecture (Go's name)."""
    system, _, architecture = platform.partition("/")
    if not platform or architecture in (node_architecture, *_ALSO_RUNS.get(node_architecture, ())):
        return system in ("", "linux")
    return system == "linux" and _is_emulated(_EMULATED.get(architecture, architecture), emulators)


def _is_emulated(architecture: str, emulators: Path) -> bool:
    """By an interpreter that the kernel starts for such programs (binfmt_misc): QEMU, or Rosetta for x86_64."""
    names = (f"qemu-{architecture}", *(("rosetta",) if architecture == "x86_64" else ()))
    for name in names:
        try:
            if (emulators / name).read_text().startswith("enabled"):
                return True
        except OSError:
            continue
    return False
