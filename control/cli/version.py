"""`podling version`."""

from __future__ import annotations

from importlib.metadata import version as distribution_version


def version() -> None:
    """Print Podling's version and the Kubernetes version it serves."""
    from control.main import KUBERNETES_VERSION

    print(f"podling {distribution_version('podling')} (Kubernetes {KUBERNETES_VERSION})")
