"""Images for tests against a real engine, made without a registry: busybox and pause."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import APIClient

BUSYBOX_IMAGE = "podling-test/busybox:1"
ARGUMENTS_IMAGE = "podling-test/arguments:1"
ACCOUNTS_IMAGE = "podling-test/accounts:1"
PAUSE_IMAGE = "podling-test/pause:1"
ROOT = Path(__file__).parents[2]
PAUSE_SOURCE = ROOT / "pause-image" / "pause.c"
FETCHED_BUSYBOX = ROOT / "build" / "busybox"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUP = b"root:x:0:\nnogroup:x:65534:\n"


@functools.cache
def ensure_busybox_image() -> str:
    """Reference of a local busybox image: Debian's static build with all its applets linked."""
    import_image(busybox_archive, BUSYBOX_IMAGE, ["CMD sh", "ENV PATH=/bin"])
    return BUSYBOX_IMAGE


@functools.cache
def ensure_arguments_image() -> str:
    """Reference of an image whose program prints its arguments: what of a command and its arguments is the image's."""
    changes = ["ENV PATH=/bin", 'ENTRYPOINT ["/bin/echo", "image-entrypoint"]', 'CMD ["image-argument"]']
    import_image(busybox_archive, ARGUMENTS_IMAGE, changes)
    return ARGUMENTS_IMAGE


@functools.cache
def ensure_accounts_image() -> str:
    """Reference of a busybox image that runs as its user `www`, who is of a group of its own and of two others."""
    passwd = PASSWD + b"www:x:33:34:www:/:/bin/false\n"
    group = GROUP + b"www:x:34:\nstaff:x:50:www\nvideo:x:44:nobody,www\n"
    import_image(lambda: busybox_archive(passwd, group), ACCOUNTS_IMAGE, ["CMD sh", "ENV PATH=/bin", "USER www"])
    return ACCOUNTS_IMAGE


def busybox_archive(passwd: bytes = PASSWD, group: bytes = GROUP) -> bytes:
    """Debian's static busybox with a link for each of its applets."""
    binary = _busybox_binary()
    applets = subprocess.run([binary, "--list"], check=True, capture_output=True, text=True).stdout.split()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for directory in ("bin", "etc", "proc", "sys", "dev", "root", "home", "var"):
            _add_directory(tar, directory)
        _add_directory(tar, "tmp", mode=0o1777)
        _add_file(tar, "bin/busybox", binary.read_bytes(), mode=0o755)
        _add_file(tar, "etc/passwd", passwd)
        _add_file(tar, "etc/group", group)
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
    return archive.getvalue()


@functools.cache
def ensure_pause_image() -> str:
    """Reference of a local pause image, compiled from pause-image/pause.c."""
    with tempfile.TemporaryDirectory() as directory:
        binary = Path(directory) / "pause"
        flags = ["-Os", "-std=c11", "-ffreestanding", "-fno-stack-protector", "-nostdlib", "-static", "-no-pie", "-s"]
        subprocess.run(["gcc", *flags, "-o", str(binary), str(PAUSE_SOURCE)], check=True)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            _add_file(tar, "pause", binary.read_bytes(), mode=0o755)
    import_image(archive.getvalue, PAUSE_IMAGE, ['ENTRYPOINT ["/pause"]'])
    return PAUSE_IMAGE


def _busybox_binary() -> Path:
    """The installed one, the one that was fetched before, or one from the package."""
    for binary in (Path("/usr/bin/busybox"), FETCHED_BUSYBOX):
        if binary.exists():
            return binary
    FETCHED_BUSYBOX.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FETCHED_BUSYBOX.parent) as directory:
        subprocess.run(["apt-get", "download", "busybox-static"], cwd=directory, check=True, capture_output=True)
        package = next(Path(directory).glob("busybox-static*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), f"{directory}/x"], check=True)
        # In /usr/bin from Debian 13 on. At once and whole: another worker may look for it.
        next(Path(directory, "x").glob("**/bin/busybox")).replace(FETCHED_BUSYBOX)
    return FETCHED_BUSYBOX


def _engine() -> APIClient:
    """A client of the engine that the tests are to use (DOCKER_HOST)."""
    from docker import APIClient
    from docker.utils import kwargs_from_env

    return APIClient(**kwargs_from_env())


@contextmanager
def making_images() -> Iterator[None]:
    """Held by the one process of this checkout that makes images of shared names.

    Two of them would each make their own, and the later one would take the name from an image that is in use. The lock
    is on a directory, so that no file is left.
    """
    descriptor = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def import_image(make_archive: Callable[[], bytes], reference: str, changes: list[str]) -> None:
    """Make an image of a file system archive, unless the engine has one of that name."""
    with making_images(), closing(_engine()) as client:
        if any(reference in (image["RepoTags"] or ()) for image in client.images()):
            return
        repository, _, tag = reference.rpartition(":")
        client.import_image_from_data(make_archive(), repository=repository, tag=tag, changes=changes)


def load_image(layer: bytes, reference: str, config: dict[str, Any], *, architecture: str = "amd64") -> None:
    """Make an image of one layer whose configuration says what `import_image` has no words for."""
    root = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
    described = json.dumps({"architecture": architecture, "os": "linux", "config": config, "rootfs": root}).encode()
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        _add_file(tar, "config.json", described)
        _add_file(tar, "layer.tar", layer)
        _add_file(tar, "manifest.json", json.dumps(manifest).encode())
    with closing(_engine()) as client:
        list(client.load_image(archive.getvalue()))


def _add_directory(tar: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
