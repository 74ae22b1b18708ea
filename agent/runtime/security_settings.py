"""From security contexts to Docker's settings: who a container runs as, what it may do, what confines it. Pure.

A field of the container's own security context wins over the Pod's. Part of `translate.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.runtime.accounts import Accounts
from control.api.objects import ReadOnlyObject

SECCOMP_UNCONFINED = "unconfined"
SECCOMP_OF_DOCKER = ""


def security_field(pod: ReadOnlyObject, container: ReadOnlyObject, name: str) -> Any:
    """A field of the security contexts: the container's own wins over the Pod's; None where neither says it."""
    for context in (container.get("securityContext") or {}, pod["spec"].get("securityContext") or {}):
        if context.get(name) is not None:
            return context[name]
    return None


def is_strict(pod: ReadOnlyObject) -> bool:
    """Whether the groups that the image gives a user are left out (KEP-3619)."""
    return bool((pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy") == "Strict")


def needs_accounts(pod: ReadOnlyObject, container: ReadOnlyObject, image_user: str) -> bool:
    """Whether Docker, left alone, would give the container other groups than Kubernetes says.

    Docker adds the image's groups of a user where no group is named, and leaves them out where one is.
    """
    _, group = _user_and_group(pod, container, image_user)
    return (not group) if is_strict(pod) else bool(group)


def user_settings(
    pod: ReadOnlyObject,
    container: ReadOnlyObject,
    image_user: str,
    accounts: Accounts | None,
    volume_groups: Sequence[int] = (),
) -> tuple[str, list[str]]:
    """Docker's User (empty: the image's) and GroupAdd. `accounts` are the image's, None where they are unknown.

    `volume_groups` are those that volumes of the Pod want their users to have.
    """
    user, group = _user_and_group(pod, container, image_user)
    pod_context = pod["spec"].get("securityContext") or {}
    groups = [*(pod_context.get("supplementalGroups") or ())]
    if pod_context.get("fsGroup") is not None:
        groups.append(pod_context["fsGroup"])
    groups += [group_id for group_id in dict.fromkeys(volume_groups) if group_id not in groups]
    if accounts is not None and not is_strict(pod):
        groups += [group_id for group_id in accounts.further_groups(user or "0") if group_id not in groups]
    if accounts is not None and is_strict(pod) and not group:
        group = str(accounts.primary_group(user or "0"))
    if group:
        user = f"{user or 0}:{group}"
    return "" if user == image_user else user, [str(group_id) for group_id in groups]


def _user_and_group(pod: ReadOnlyObject, container: ReadOnlyObject, image_user: str) -> tuple[str, str]:
    """Names or numbers; the group is empty where none is named, the user where that is root. The image's count last."""
    user, _, group = image_user.partition(":")
    run_as_user = security_field(pod, container, "runAsUser")
    run_as_group = security_field(pod, container, "runAsGroup")
    if run_as_user is not None:
        user, group = str(run_as_user), ""
    return user, group if run_as_group is None else str(run_as_group)


def privilege_settings(container: ReadOnlyObject) -> dict[str, Any]:
    """The fields of HostConfig that say what the container may do."""
    context = container.get("securityContext") or {}
    settings: dict[str, Any] = {}
    capabilities = context.get("capabilities") or {}
    if context.get("privileged"):
        settings["Privileged"] = True
    if capabilities.get("add"):
        settings["CapAdd"] = list(capabilities["add"])
    if capabilities.get("drop"):
        settings["CapDrop"] = list(capabilities["drop"])
    if context.get("readOnlyRootFilesystem"):
        settings["ReadonlyRootfs"] = True
    return settings


def seccomp_profile(pod: ReadOnlyObject, container: ReadOnlyObject, *, is_confined_by_default: bool) -> ReadOnlyObject:
    """The container's SeccompProfile, with what the node gives to those that name none and to privileged ones."""
    if (container.get("securityContext") or {}).get("privileged"):
        return {"type": "Unconfined"}
    default = {"type": "RuntimeDefault" if is_confined_by_default else "Unconfined"}
    return security_field(pod, container, "seccompProfile") or default


def confinement_options(pod: ReadOnlyObject, container: ReadOnlyObject, seccomp_profile: str = "") -> list[str]:
    """HostConfig.SecurityOpt; `seccomp_profile` as in ContainerRequest.

    Docker's default AppArmor profile stays where the Pod says nothing, as upstream.
    """
    options = []
    if (container.get("securityContext") or {}).get("allowPrivilegeEscalation") is False:
        options.append("no-new-privileges")
    if seccomp_profile:
        options.append(f"seccomp={seccomp_profile}")
    app_armor = security_field(pod, container, "appArmorProfile") or {}
    if app_armor.get("type") == "Unconfined":
        options.append("apparmor=unconfined")
    elif app_armor.get("type") == "Localhost":
        options.append(f"apparmor={app_armor['localhostProfile']}")
    for key, value in (security_field(pod, container, "seLinuxOptions") or {}).items():
        options.append(f"label={key}:{value}")
    return options


def run_as_root_error(pod: ReadOnlyObject, container: ReadOnlyObject, image_user: str) -> str:
    """Why `runAsNonRoot` forbids this container, in the kubelet's words; empty when it does not.

    `image_user` is the image's Config.User (`user[:group]`, names or numbers).
    """
    if not security_field(pod, container, "runAsNonRoot"):
        return ""
    metadata = pod["metadata"]
    subject = (
        f'(pod: "{metadata["name"]}_{metadata.get("namespace", "default")}({metadata["uid"]})", '
        f"container: {container['name']})"
    )
    user = security_field(pod, container, "runAsUser")
    if user is not None:
        return f"container's runAsUser breaks non-root policy {subject}" if user == 0 else ""
    name = image_user.partition(":")[0]
    if name and not name.isdigit():
        return (
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root {subject}"
        )
    if not name or int(name) == 0:
        return f"container has runAsNonRoot and image will run as root {subject}"
    return ""
