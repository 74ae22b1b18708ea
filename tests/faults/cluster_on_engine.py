"""A cluster whose agents use an engine that the test chooses."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cluster import Cluster


@dataclass
class ClusterOnEngine(Cluster):
    """`host` is as DOCKER_HOST."""

    host: str = ""

    @property
    def env(self) -> dict[str, str]:
        return super().env | {"DOCKER_HOST": self.host}
