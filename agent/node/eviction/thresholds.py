"""Eviction thresholds: reading them as the kubelet's flags write them, and which of them are met. Pure.

`memory.available<100Mi,nodefs.available<10%`. Rules of ParseThresholdConfig and thresholdsMet
(pkg/kubelet/eviction/helpers.go, v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.node.eviction.signals import Observations, Signal
from control.api.durations import parse_duration
from control.api.quantity import QuantityError, canonical_quantity, quantity_value


class ThresholdError(ValueError):
    """A flag that cannot be meant; the message names the signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A quantity (bytes or a count) and its canonical text, or a part of the capacity between 0 and 1."""

    quantity: int = 0
    fraction: float = 0.0
    text: str = ""

    def of(self, capacity: int) -> int:
        """The quantity, given the capacity."""
        return int(capacity * self.fraction) if self.fraction else self.quantity

    def __str__(self) -> str:
        return f"{self.fraction * 100:g}%" if self.fraction else self.text


NOTHING = Amount()


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Met while less than `value` is available; hard without a grace period, soft with one."""

    signal: Signal
    value: Amount
    grace_seconds: float = 0.0
    minimum_reclaim: Amount = NOTHING

    @property
    def is_hard(self) -> bool:
        """Whether eviction begins at once, and Pods are killed without their grace periods."""
        return self.grace_seconds == 0


def parse_thresholds(
    hard: str, soft: str = "", soft_grace_periods: str = "", minimum_reclaims: str = ""
) -> tuple[Threshold, ...]:
    """Read the four flags. Raises ThresholdError.

    What is kept free of the host's memory is kept free of the Pods' share too, as long as that is the smaller one.
    """
    graces = {signal: _parse_grace(signal, text) for signal, text in _parse_statements(soft_grace_periods, "=")}
    reclaims = {signal: _parse_reclaim(signal, text) for signal, text in _parse_statements(minimum_reclaims, "=")}
    thresholds = []
    for signal, text in _parse_statements(hard, "<"):
        if (value := _parse_value(signal, text)) is not None:
            reclaim = reclaims.get(signal, NOTHING)
            thresholds.append(Threshold(signal=signal, value=value, minimum_reclaim=reclaim))
    for signal, text in _parse_statements(soft, "<"):
        if signal not in graces:
            raise ThresholdError(f"grace period must be specified for the soft eviction threshold {signal.value}")
        if (value := _parse_value(signal, text)) is not None:
            reclaim, grace = reclaims.get(signal, NOTHING), graces[signal]
            thresholds.append(Threshold(signal=signal, value=value, grace_seconds=grace, minimum_reclaim=reclaim))
    shares = [
        replace(item, signal=Signal.ALLOCATABLE_MEMORY_AVAILABLE)
        for item in thresholds
        if item.signal is Signal.MEMORY_AVAILABLE and item.is_hard
    ]
    return (*thresholds, *shares)


def thresholds_met(
    thresholds: Iterable[Threshold], observations: Observations, *, with_reclaim: bool = False
) -> list[Threshold]:
    """Those that are met now, grace periods aside; `with_reclaim` asks for as much more as is to be reclaimed."""
    met = []
    for threshold in thresholds:
        observed = observations.get(threshold.signal)
        if observed is None:
            continue
        wanted = threshold.value.of(observed.capacity)
        if with_reclaim:
            wanted += threshold.minimum_reclaim.of(observed.capacity)
        if observed.available < wanted:
            met.append(threshold)
    return met


def hard_amounts(thresholds: Sequence[Threshold], capacities: Mapping[Signal, int]) -> dict[Signal, int]:
    """What the hard thresholds keep free, by signal."""
    return {item.signal: item.value.of(capacities.get(item.signal, 0)) for item in thresholds if item.is_hard}


def _parse_statements(text: str, operator: str) -> list[tuple[Signal, str]]:
    statements = []
    for part in filter(None, (item.strip() for item in text.split(","))):
        name, found, value = part.partition(operator)
        if not found or not value.strip():
            raise ThresholdError(f"{part!r} is not of the form SIGNAL{operator}VALUE")
        try:
            statements.append((Signal(name.strip()), value.strip()))
        except ValueError:
            raise ThresholdError(f"unsupported eviction signal {name.strip()}") from None
    return statements


def _parse_value(signal: Signal, text: str) -> Amount | None:
    """None for a threshold that is never met or always: upstream ignores both."""
    if text in ("0%", "100%"):
        return None
    amount = _parse_amount(signal, text)
    if amount.fraction > 1:
        raise ThresholdError(f"eviction percentage threshold {signal.value} must be <= 100%: {text}")
    if amount.quantity <= 0 and amount.fraction <= 0:
        raise ThresholdError(f"eviction threshold {signal.value} must be positive: {text}")
    return amount


def _parse_reclaim(signal: Signal, text: str) -> Amount:
    amount = _parse_amount(signal, text)
    if amount.quantity < 0 or amount.fraction < 0:
        raise ThresholdError(f"negative eviction minimum reclaim specified for {signal.value}")
    return amount


def _parse_amount(signal: Signal, text: str) -> Amount:
    try:
        if text.endswith("%"):
            return Amount(fraction=float(text[:-1]) / 100)
        return Amount(quantity=quantity_value(text), text=canonical_quantity(text))
    except (ValueError, QuantityError) as error:
        raise ThresholdError(f"{signal.value}: {error}") from error


def _parse_grace(signal: Signal, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ThresholdError(f"invalid eviction grace period of {signal.value}: {error}") from error
