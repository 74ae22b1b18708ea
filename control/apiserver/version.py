"""The version this server speaks, as /version reports it."""

from __future__ import annotations

import platform
import sys

from control.api.objects import Object

MAJOR, MINOR = 1, 36
GIT_VERSION = f"v{MAJOR}.{MINOR}.2"

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}

VERSION: Object = {
    "major": str(MAJOR),
    "minor": str(MINOR),
    "emulationMajor": str(MAJOR),
    "emulationMinor": str(MINOR),
    "minCompatibilityMajor": str(MAJOR),
    "minCompatibilityMinor": str(MINOR - 1),
    "gitVersion": GIT_VERSION,
    "gitCommit": "podling",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "python" + platform.python_version(),
    "compiler": sys.implementation.name,
    "platform": f"{sys.platform}/{_MACHINES.get(platform.machine(), platform.machine())}",
}
