"""The pause image: a 1 kB program per architecture, made into a `docker load` archive without compiler or registry.

The binaries beside this file are built from pause-image/pause.c by pause-image/Makefile. The image's tag contains the
digest of its binary, so an engine that has the tag has exactly this program.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

PAUSE_VERSION = "1.0"
_EPOCH = "1970-01-01T00:00:00Z"
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class UnsupportedArchitectureError(Exception):
    """There is no pause binary for the engine's architecture."""


def pause_reference(architecture: str) -> str:
    """Image reference of pause for an engine's architecture (`x86_64`, `aarch64` or Go's names)."""
    digest = hashlib.sha256(_read_binary(architecture)).hexdigest()
    return f"podling/pause:{PAUSE_VERSION}-{digest[:8]}"


def pause_archive(architecture: str) -> bytes:
    """Return the image as a `docker save` archive; the same bytes every time."""
    layer = _make_tar({"pause": (_read_binary(architecture), 0o755)})
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES[architecture],
            "os": "linux",
            "created": _EPOCH,
            "config": {"Entrypoint": ["/pause"], "Labels": {"io.podling.pause": PAUSE_VERSION}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created": _EPOCH, "created_by": "pause-image/Makefile"}],
        },
        sort_keys=True,
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{layer_digest}/layer.tar"
    manifest = [{"Config": config_name, "RepoTags": [pause_reference(architecture)], "Layers": [layer_name]}]
    return _make_tar(
        {
            config_name: (config, 0o644),
            layer_name: (layer, 0o644),
            "manifest.json": (json.dumps(manifest).encode(), 0o644),
        }
    )


def _read_binary(architecture: str) -> bytes:
    name = _ARCHITECTURES.get(architecture)
    if name is None:
        raise UnsupportedArchitectureError(f"cannot run Pods on {architecture}: pause exists for amd64 and arm64")
    return (Path(__file__).parent / f"pause-{name}").read_bytes()


def _make_tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
