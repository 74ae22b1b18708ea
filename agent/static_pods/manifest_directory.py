"""The directory of manifests: what its files mean now, read again when inotify or the clock says so.

A file that means no Pod is reported once for each thing that is wrong with it, and stops no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from agent.runtime.file_watch import FileWatch
from agent.static_pods.manifest import ManifestError, is_same_pod, read_manifest
from control.api.clock import Clock
from control.api.objects import Object

logger = logging.getLogger(__name__)

#: the kubelet's fileCheckFrequency
RESCAN_SECONDS = 20.0
#: How long a directory must be quiet before it is read: editors write in several steps.
QUIET_SECONDS = 0.1


class ManifestDirectory:
    """Reads one directory; `report(message)` is told of files that mean no Pod."""

    def __init__(
        self,
        path: Path,
        *,
        node_name: str,
        shares_processes: bool,
        clock: Clock,
        report: Callable[[str], None],
    ) -> None:
        self._path = path
        self._node_name = node_name
        self._shares_processes = shares_processes
        self._clock = clock
        self._report = report
        self._reported: set[str] = set()
        self._known: dict[str, Object] = {}

    async def run(self, on_pods: Callable[[list[Object]], None]) -> None:
        """Call back with all Pods whenever the files may have changed, for ever."""
        watch: FileWatch | None = None
        try:
            while True:
                if watch is None and self._path.is_dir():
                    watch = FileWatch(self._path)
                if watch is not None and watch.is_watching:
                    await watch.wait(RESCAN_SECONDS)
                    await self._clock.sleep(QUIET_SECONDS)
                else:
                    await self._clock.sleep(RESCAN_SECONDS)
                on_pods(await self.read())
        finally:
            if watch is not None:
                watch.close()

    async def read(self) -> list[Object]:
        """The Pods of all files that mean one, in the order of the files' names."""
        contents = await asyncio.to_thread(_read_files, self._path)
        problems: set[str] = set()
        pods: dict[tuple[str, str], Object] = {}
        for name, content in contents:
            try:
                pod = self._pod_of(name, content)
                key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
                if key in pods:
                    raise ManifestError(f"another file defines Pod {'/'.join(key)} already")
                pods[key] = pod
            except ManifestError as error:
                problems.add(f"cannot use manifest {self._path / name}: {error}")
        self._report_new(problems)
        self._known = {pod["metadata"]["uid"]: pod for pod in pods.values()}
        return list(pods.values())

    def _pod_of(self, name: str, content: bytes | OSError) -> Object:
        if isinstance(content, OSError):
            raise ManifestError(content.strerror or str(content)) from content
        path = str(self._path / name)
        pod = read_manifest(content, path, self._node_name, self._clock.now(), shares_processes=self._shares_processes)
        # A file that says what it said is seen when it was first seen.
        known = self._known.get(pod["metadata"]["uid"])
        return known if known is not None and is_same_pod(known, pod) else pod

    def _report_new(self, problems: set[str]) -> None:
        for problem in sorted(problems - self._reported):
            logger.error("Cannot use a manifest: %s", problem)
            self._report(problem)
        self._reported = problems


def _read_files(directory: Path) -> Iterable[tuple[str, bytes | OSError]]:
    """Names and contents of the regular files, without those whose name begins with a dot."""
    try:
        names = sorted(entry.name for entry in directory.iterdir() if not entry.name.startswith("."))
    except OSError:
        return []  # no directory, no Pods
    found: list[tuple[str, bytes | OSError]] = []
    for name in names:
        path = directory / name
        try:
            if path.is_file():
                found.append((name, path.read_bytes()))
        except OSError as error:
            found.append((name, error))
    return found
