"""A node of fakes for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.fakes.agent_node import HollowNode


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[HollowNode]:
    hollow = HollowNode(tmp_path)
    await hollow.start()
    yield hollow
    await hollow.crash()
