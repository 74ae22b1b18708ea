"""The StorageClass `standard`, made once a cluster has controllers. Podling's own, as kind and minikube have one."""

from __future__ import annotations

import asyncio
import logging

from control.api.builtin_kinds import STORAGE_CLASSES
from control.api.errors import ApiError
from control.api.objects import Object
from control.api.volumes import DEFAULT_CLASS, LOCAL_PROVISIONER
from control.client.client import Client
from control.client.transport import ServerUnavailableError
from control.controllers.context import RESTART_SECONDS, ControllerContext

logger = logging.getLogger(__name__)

CLASS_NAME = "standard"


class DefaultClass:
    """Makes the class where it is missing; whatever a user made of it is left alone."""

    def __init__(self, context: ControllerContext, client: Client) -> None:
        self._context = context
        self._client = client

    async def run(self, stop: asyncio.Event) -> None:
        """Try until it exists."""
        while not await self.step():
            await self._context.clock.sleep(RESTART_SECONDS)

    async def step(self) -> bool:
        """Try once; returns whether it exists now."""
        try:
            await self._client.create(STORAGE_CLASSES, storage_class(self._context.options.default_storage_class))
        except ApiError as error:
            return error.reason == "AlreadyExists"
        except ServerUnavailableError as error:
            logger.warning("Cannot make the storage class name=%s error=%s", CLASS_NAME, error)
            return False
        return True


def storage_class(is_default: bool) -> Object:
    """The class: directories of the node on which a claim's first Pod runs."""
    annotations = {DEFAULT_CLASS: "true"} if is_default else {}
    return {
        "apiVersion": STORAGE_CLASSES.api_version,
        "kind": STORAGE_CLASSES.kind,
        "metadata": {"name": CLASS_NAME, "annotations": annotations},
        "provisioner": LOCAL_PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }
