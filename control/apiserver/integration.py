"""temporary"""

from __future__ import annotations

from control.apiserver.registry.strategy import Strategy


def strategy_for(kind):
    try:
        from control.apiserver.registry.strategies import strategy_for as f

        return f(kind)
    except ImportError:
        return Strategy()


def make_admission_plugins(reader, profile, random):
    try:
        from control.apiserver.admission.plugins import make_plugins

        return make_plugins(reader, profile=profile, random=random)
    except ImportError:
        return []
