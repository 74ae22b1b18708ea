"""The FastAPI application of Podling's own pages, imported by `own_pages.py` with the first request for one.

FastAPI and pydantic take a fifth of a second and 20 MB, which a cluster that nobody looks at does not pay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field

#: Values of the fields of ClusterPage, read at the time of the request.
ReadCluster = Callable[[], dict[str, Any]]


class ClusterPage(BaseModel):
    """The state of the control plane."""

    profile: str = Field(description="default or upstream")
    version: str = Field(description="the Kubernetes version that is served")
    revision: int = Field(description="newest revision of the store")
    objects: int = Field(description="objects in the store")
    loop_lag_seconds: float = Field(description="how late the event loop ran what was due, at the last look")


def make_application(read_cluster: ReadCluster, *, prefix: str) -> FastAPI:
    """Build the application with its pages below `prefix`."""
    application = FastAPI(title="Podling", openapi_url=f"{prefix}openapi.json", docs_url=None, redoc_url=None)

    @application.get(f"{prefix}v1/cluster")
    async def cluster() -> ClusterPage:
        return ClusterPage(**read_cluster())

    return application
