"""Rules of how much of a device's shared capacity a request may take (upstream: CapacityRequestPolicy)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.api.quantity import Quantity
from control.apiserver.registry.strategies.field_rules import NOT_POSITIVE, Errors
from control.apiserver.registry.strategies.resource_lists import quantity

Item = Mapping[str, Any]

_VALUES_MAX = 10


def request_policy(path: str, capacity: Quantity, policy: Item) -> Errors:
    """Some amounts or a range of them, neither more than there is, and one for requests that name none."""
    values, limits = policy.get("validValues") or (), policy.get("validRange")
    if values and limits is not None:
        detail = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        yield FieldError.forbidden(path, detail)
        return
    if not values and limits is None:
        return
    field = "validValues" if values else "validRange"
    if policy.get("default") is None:
        yield FieldError.required(f"{path}.default", f"required when {field} is defined")
        return
    default = quantity(policy["default"])
    if limits is None:
        yield from _values(f"{path}.{field}", [quantity(value) for value in values], default, capacity)
    else:
        yield from _range(f"{path}.{field}", limits, default, capacity)


def _values(path: str, values: Sequence[Quantity], default: Quantity, capacity: Quantity) -> Errors:
    for index in range(1, len(values)):
        if values[index - 1].nanos > values[index].nanos:
            yield FieldError.invalid(f"{path}[{index}]", str(values[index]), "values must be sorted in ascending order")
    if len(values) > _VALUES_MAX:
        yield FieldError.too_many(path, len(values), _VALUES_MAX)
    else:
        yield from _options(path, values, capacity)
    if len(values) > _VALUES_MAX or default.nanos not in {value.nanos for value in values}:
        yield FieldError.invalid(path, str(default), "default value is not valid according to the requestPolicy")


def _options(path: str, values: Sequence[Quantity], capacity: Quantity) -> Errors:
    for index, value in enumerate(values):
        if value.nanos > capacity.nanos:
            detail = f"option is larger than capacity value: {capacity}"
            yield FieldError.invalid(f"{path}[{index}]", str(value), detail)
    numbers = [value.value for value in values]
    for index, number in enumerate(numbers):
        if number in numbers[:index]:
            yield FieldError.duplicate(f"{path}[{index}]", str(number))


def _range(path: str, limits: Item, default: Quantity, capacity: Quantity) -> Errors:
    if limits.get("min") is None:
        yield FieldError.required(f"{path}.min", "required when validRange is defined")
        return
    least = quantity(limits["min"])
    if least.nanos > capacity.nanos:
        yield FieldError.invalid(f"{path}.min", str(least), f"min is larger than capacity value: {capacity}")
    if default.nanos < least.nanos:
        yield FieldError.invalid(f"{path}.default", str(default), f"default is less than min: {least}")
    most = None if limits.get("max") is None else quantity(limits["max"])
    if most is not None:
        if least.nanos > most.nanos:
            yield FieldError.invalid(f"{path}.max", str(least), f"min is larger than max: {most}")
        if most.nanos > capacity.nanos:
            yield FieldError.invalid(f"{path}.max", str(most), f"max is larger than capacity value: {capacity}")
        if default.nanos > most.nanos:
            yield FieldError.invalid(f"{path}.default", str(default), f"default is more than max: {most}")
    if limits.get("step") is not None:
        reached = [default] if most is None else [default, most]
        yield from _steps(f"{path}.step", quantity(limits["step"]), least, reached, capacity)


def _steps(path: str, step: Quantity, least: Quantity, reached: Sequence[Quantity], capacity: Quantity) -> Errors:
    if step.nanos <= 0:
        yield FieldError.invalid(path, str(step), NOT_POSITIVE)
        return
    first = least.plus(step)
    if first.nanos > capacity.nanos:
        detail = f"one step {first} is larger than capacity value: {capacity}"
        yield FieldError.invalid(path, str(step), detail)
    for amount in reached:
        # Whole units, as upstream counts.
        if (amount.value - least.value) % step.value:
            detail = f"value is not a multiple of a given step ({step}) from ({least})"
            yield FieldError.invalid(path, str(amount), detail)
