"""From the words of the engine and of registries to the seam's errors. Pure."""

from __future__ import annotations

from agent.runtime.protocol import (
    ContainerNotFoundError,
    EngineUnavailableError,
    ImageNotFoundError,
    NameConflictError,
    RuntimeFailure,
    VolumeNotFoundError,
)


def engine_failure(status: int, message: str, *, image: bool = False) -> RuntimeFailure:
    """The error of a refused call; `image` says that a 404 without more words is about an image."""
    if status == 404 and "No such image" in message:
        return ImageNotFoundError(message)
    if status == 404 and image and "No such container" not in message:
        return ImageNotFoundError(message)
    if status == 404 and ("No such container" in message or "No such exec" in message):
        return ContainerNotFoundError(message)
    if status == 404 and "no such volume" in message:
        return VolumeNotFoundError(message)
    if status == 409 and "is already in use" in message:
        return NameConflictError(message)
    if status in (502, 503, 504):
        return EngineUnavailableError(message)
    return RuntimeFailure(message)


def pull_failure(message: str) -> RuntimeFailure:
    """The error of a pull, with the kubelet's reason. Only a registry that says so itself is unavailable."""
    unavailable = "503 Service Unavailable" in message or "registry unavailable" in message.lower()
    reason = "RegistryUnavailable" if unavailable else "ErrImagePull"
    text = f"Error response from daemon: {message}"
    if "not found" in message or "manifest unknown" in message:
        return ImageNotFoundError(text, reason=reason)
    return RuntimeFailure(text, reason=reason)
