"""Make the images that the manifests and tests use: pulled if a registry answers, else assembled from Debian packages.

    python scripts/images.py nginx busybox [--no-pull]

An image that the engine has is left alone. An assembled image says so in its label `io.podling.assembled`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

BUSYBOX_PACKAGES = ("busybox-static",)
NGINX_PACKAGES = (
    "nginx-light",
    "nginx-common",
    "nginx",
    "libc6",
    "libcrypt1",
    "libpcre2-8-0",
    "libpcre3",
    "libssl3",
    "libssl3t64",
    "libzstd1",
    "zlib1g",
)
PULL_SECONDS_MAX = 120
#: functions of the scripts that prepare a machine
MACHINE = Path(__file__).with_name("machine.sh")
PAGE = "<!DOCTYPE html>\n<html><head><title>nginx</title></head>\n<body><h1>Welcome to nginx!</h1></body></html>\n"
NGINX_CONFIGURATION = """\
user nobody;
worker_processes 1;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 512; }
http {
    types { text/html html; text/plain txt; text/css css; application/json json; }
    default_type application/octet-stream;
    access_log /dev/stdout;
    server {
        listen 80;
        root /usr/share/nginx/html;
    }
}
"""
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
GROUP = "root:x:0:\nnogroup:x:65534:\nnobody:x:65534:\n"


class ImageError(Exception):
    """An image can neither be pulled nor assembled."""


def main() -> int:
    """Ensure the images named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", choices=sorted(RECIPES))
    parser.add_argument("--no-pull", action="store_true", help="assemble without asking a registry")
    arguments = parser.parse_args()
    # What is made here must be readable in the image, where nginx is not root.
    os.umask(0o022)
    try:
        for name in arguments.images:
            ensure_image(name, pull=not arguments.no_pull)
    except ImageError as error:
        print(f"podling: {error}", file=sys.stderr)
        return 1
    return 0


def ensure_image(name: str, *, pull: bool = True) -> None:
    """Make the image `<name>:latest` exist on the engine. Raises ImageError."""
    reference = f"{name}:latest"
    if _docker("image", "inspect", reference).returncode == 0:
        return
    if pull and _pull(reference):
        return
    print(f"Assembling {reference} from Debian packages ...", flush=True)
    if shutil.which("dpkg-deb") is None or shutil.which("apt-get") is None:
        raise ImageError(f"no registry answers and this is no Debian: pull {reference} by hand")
    with tempfile.TemporaryDirectory(prefix="podling-image-") as directory:
        root = Path(directory) / "root"
        packages, furnish, changes = RECIPES[name]
        unpack(packages, root, Path(directory))
        furnish(root)
        _import(root, reference, changes)


def unpack(packages: tuple[str, ...], root: Path, scratch: Path) -> None:
    """Download Debian packages (those that this release has) and unpack them into a root directory."""
    problem = _download(packages, scratch)
    if problem:
        # A fresh machine has no package lists yet, and old ones name files that are gone.
        subprocess.run(["bash", "-c", '. "$0" && update_package_lists', str(MACHINE)], check=False)
        problem = _download(packages, scratch)
    if problem:
        raise ImageError(problem)
    root.mkdir()
    for archive in sorted(scratch.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True)


def _download(packages: tuple[str, ...], scratch: Path) -> str:
    """Why the packages cannot be had; empty if they are there."""
    environment = os.environ | {"LC_ALL": "C"}
    available = [name for name in packages if _apt_knows(name, environment)]
    if not available:
        return f"cannot download {' '.join(packages)}: this machine's sources have none of them"
    result = subprocess.run(
        ["apt-get", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "download", *available],
        cwd=scratch,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        return ""
    words = result.stderr.strip().splitlines() or [f"apt-get ended with status {result.returncode}"]
    return f"cannot download {' '.join(available)}: {words[-1]}"


def furnish_busybox(root: Path) -> None:
    """A root file system with busybox and all its applets."""
    binary = next(path for path in (root / "bin/busybox", root / "usr/bin/busybox") if path.exists())
    content = binary.read_bytes()
    shutil.rmtree(root)
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").write_bytes(content)
    (root / "bin/busybox").chmod(0o755)
    _add_applets(root)
    _add_system_files(root)


def furnish_nginx(root: Path) -> None:
    """nginx as its official image lays it out, with busybox for a shell."""
    if not (root / "usr/sbin/nginx").exists():
        raise ImageError("no package of this machine's sources has nginx: pull nginx:latest by hand")
    # From Debian 13 on packages have their libraries below /usr alone; programs name the loader where it was before.
    for name in ("lib", "lib64"):
        if (root / "usr" / name).is_dir() and not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    with tempfile.TemporaryDirectory(prefix="podling-image-") as directory:
        shell = Path(directory) / "root"
        unpack(BUSYBOX_PACKAGES, shell, Path(directory))
        source = next(path for path in (shell / "bin/busybox", shell / "usr/bin/busybox") if path.exists())
        (root / "bin").mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, root / "bin/busybox")
    _add_applets(root)
    _add_system_files(root)
    for unneeded in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "etc/nginx"):
        shutil.rmtree(root / unneeded, ignore_errors=True)
    for directory_name in ("etc/nginx", "var/log/nginx", "var/lib/nginx", "run", "usr/share/nginx/html"):
        (root / directory_name).mkdir(parents=True, exist_ok=True)
    (root / "etc/nginx/nginx.conf").write_text(NGINX_CONFIGURATION)
    (root / "usr/share/nginx/html/index.html").write_text(PAGE)


def _add_applets(root: Path) -> None:
    listing = subprocess.run([str(root / "bin/busybox"), "--list"], capture_output=True, text=True, check=True)
    for applet in listing.stdout.split():
        link = root / "bin" / applet
        if not link.exists():
            link.symlink_to("busybox")


def _add_system_files(root: Path) -> None:
    for directory_name in ("etc", "tmp", "root", "dev", "proc", "sys", "var/run"):
        (root / directory_name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)


def _import(root: Path, reference: str, changes: tuple[str, ...]) -> None:
    archive = root.parent / "root.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".", filter=_owned_by_root)
    options = [option for change in (*changes, "LABEL io.podling.assembled=debian") for option in ("--change", change)]
    result = _docker("import", *options, str(archive), reference)
    if result.returncode != 0:
        raise ImageError(f"cannot import {reference}: {result.stderr.strip()}")


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """As it is in the packages, whoever unpacks them."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _pull(reference: str) -> bool:
    print(f"Pulling {reference} ...", flush=True)
    try:
        return _docker("pull", "--quiet", reference, timeout=PULL_SECONDS_MAX).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _apt_knows(package: str, environment: dict[str, str]) -> bool:
    result = subprocess.run(
        ["apt-cache", "policy", package], env=environment, capture_output=True, text=True, check=False
    )
    return "Candidate:" in result.stdout and "Candidate: (none)" not in result.stdout


def _docker(*arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout)


Recipe = tuple[tuple[str, ...], Callable[[Path], None], tuple[str, ...]]
RECIPES: dict[str, Recipe] = {
    "busybox": (BUSYBOX_PACKAGES, furnish_busybox, ('CMD ["sh"]', "ENV PATH=/bin")),
    "nginx": (
        NGINX_PACKAGES,
        furnish_nginx,
        (
            'CMD ["nginx", "-g", "daemon off;"]',
            "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "EXPOSE 80",
        ),
    ),
}

if __name__ == "__main__":
    sys.exit(main())
