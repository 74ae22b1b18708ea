"""What the engine's messages about layers amount to."""

from __future__ import annotations

from typing import Any

import pytest

from agent.runtime.protocol import PullProgress
from agent.runtime.pull_progress import PullMessages


def message(layer: str, status: str, current: int = 0, total: int = 0) -> dict[str, Any]:
    return {"id": layer, "status": status, "progressDetail": {"current": current, "total": total} if total else {}}


HEAD = {"id": "latest", "status": "Pulling from library/nginx"}
A_WAITS, B_WAITS = message("a", "Waiting"), message("b", "Waiting")


@pytest.mark.parametrize(
    ("messages", "downloaded", "size", "queued"),
    [
        pytest.param([], 0, 0, False, id="nothing yet"),
        pytest.param([HEAD], 0, 0, False, id="not about a layer"),
        pytest.param([HEAD, message("a", "Pulling fs layer"), B_WAITS], 0, 0, False, id="one layer is begun"),
        pytest.param([HEAD, A_WAITS, B_WAITS], 0, 0, True, id="all wait"),
        pytest.param([message("a", "Already exists"), B_WAITS], 0, 0, True, id="all that are not there wait"),
        pytest.param([message("a", "Downloading", 3, 10), B_WAITS], 3, 10, False, id="one downloads"),
        pytest.param(
            [message("a", "Downloading", 3, 10), message("b", "Downloading", 1, 5), message("a", "Download complete")],
            11, 15, False, id="one is downloaded",
        ),
        pytest.param(
            [message("a", "Downloading", 3, 10), message("a", "Extracting", 1, 40)], 10, 10, False, id="extraction",
        ),
        pytest.param([message("a", "Downloading", 3, 10), message("a", "Pull complete")], 10, 10, False, id="the end"),
    ],
)  # fmt: skip
def test_progress(messages: list[dict[str, Any]], downloaded: int, size: int, queued: bool) -> None:
    heard = PullMessages()
    for one in messages:
        heard.add(one)

    assert heard.progress() == PullProgress(downloaded_bytes=downloaded, size_bytes=size, is_queued=queued)
