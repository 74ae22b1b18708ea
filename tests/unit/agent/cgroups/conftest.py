"""The node of fakes of the Pods' tests."""

from tests.unit.agent.pods.conftest import node

__all__ = ["node"]
