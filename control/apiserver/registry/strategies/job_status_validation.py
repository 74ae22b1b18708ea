"""Rules of the status of Jobs (upstream: ValidateJobStatusUpdate).

Most of them judge only what a write changes: a status that broke a rule before may still be written for other reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError, Printed
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import Errors, nonnegative
from control.apiserver.registry.strategies.job_policy_validation import (
    IndexesError,
    index_interval,
    index_intervals,
)

Status = Mapping[str, Any]


class _Job:
    """A Job as its status tells of it."""

    def __init__(self, obj: Object) -> None:
        self.spec: Status = obj["spec"]
        self.status: Status = obj.get("status") or {}
        self.is_true = {
            condition.get("type") or ""
            for condition in self.status.get("conditions") or ()
            if condition.get("status") == "True"
        }
        self.is_finished = bool(self.is_true & {"Complete", "Failed"})

    def count(self, name: str) -> int:
        return int(self.status.get(name) or 0)


class _Changes:
    """Which parts of a status a write changes."""

    def __init__(self, job: _Job, old: _Job) -> None:
        self._job, self._old = job, old
        self.finished = job.is_finished != old.is_finished

    def field(self, *names: str) -> bool:
        return any(self._job.status.get(name) != self._old.status.get(name) for name in names)

    def condition(self, *names: str) -> bool:
        return any((name in self._job.is_true) != (name in self._old.is_true) for name in names)


def job_status_changes(obj: Object, old: Object) -> Errors:
    """A changed status of a Job."""
    job, former = _Job(obj), _Job(old)
    changes = _Changes(job, former)
    for name in ("active", "succeeded", "failed", "ready", "terminating"):
        yield from nonnegative(f"status.{name}", job.status.get(name))
    yield from _uncounted(job)
    yield from _completion(job, changes)
    yield from _finished(job, changes)
    yield from _indexes(job, changes)
    yield from _pods(job, changes)
    yield from _success_criteria(job)
    yield from _kept(job, former, changes)


def _conditions(detail: str) -> FieldError:
    return FieldError.invalid_unshown("status.conditions", detail)


def _time(text: str | None) -> Printed | None:
    """A time as Go prints it."""
    return None if text is None else Printed(f"{text[:10]} {text[11:19]} +0000 UTC")


def _uncounted(job: _Job) -> Errors:
    pods, seen = job.status.get("uncountedTerminatedPods") or {}, set()
    for name in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(name) or ()):
            path = f"status.uncountedTerminatedPods.{name}[{index}]"
            if not uid:
                yield FieldError.invalid(path, uid, "must not be empty")
            elif uid in seen:
                yield FieldError.duplicate(path, uid)
            seen.add(uid)


def _completion(job: _Job, changes: _Changes) -> Errors:
    is_complete, at = "Complete" in job.is_true, job.status.get("completionTime")
    if changes.condition("Complete", "Failed") and {"Complete", "Failed"} <= job.is_true:
        yield _conditions("cannot set Complete=True and Failed=true conditions")
    if changes.condition("Complete", "FailureTarget") and {"Complete", "FailureTarget"} <= job.is_true:
        yield _conditions("cannot set Complete=True and FailureTarget=true conditions")
    if changes.condition("Complete") or changes.field("completionTime"):
        if at is not None and not is_complete:
            detail = "cannot set completionTime when there is no Complete=True condition"
            yield FieldError.invalid("status.completionTime", _time(at), detail)
        if at is None and is_complete:
            yield FieldError.required("status.completionTime", "completionTime is required for Complete jobs")
    started = job.status.get("startTime")
    if changes.field("startTime", "completionTime") and started and at and at < started:
        yield FieldError.invalid("status.completionTime", _time(at), "completionTime cannot be set before startTime")
    if changes.condition("Failed", "FailureTarget") and "Failed" in job.is_true and "FailureTarget" not in job.is_true:
        yield _conditions("cannot set Failed=True condition without the FailureTarget=true condition")
    criteria = "SuccessCriteriaMet"
    if changes.condition("Complete", criteria) and is_complete and criteria not in job.is_true:
        yield _conditions("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")


def _finished(job: _Job, changes: _Changes) -> Errors:
    if not job.is_finished:
        return
    if (changes.finished or changes.field("active")) and job.count("active") > 0:
        yield FieldError.invalid("status.active", job.count("active"), "active>0 is invalid for finished job")
    if (changes.finished or changes.field("startTime")) and job.status.get("startTime") is None:
        yield FieldError.required("status.startTime", "startTime is required for finished job")
    uncounted = job.status.get("uncountedTerminatedPods") or {}
    changed = changes.finished or changes.field("uncountedTerminatedPods")
    if changed and (uncounted.get("failed") or uncounted.get("succeeded")):
        shown = {name: uncounted.get(name[0].lower() + name[1:]) or None for name in ("Succeeded", "Failed")}
        detail = "uncountedTerminatedPods needs to be empty for finished job"
        yield FieldError.invalid("status.uncountedTerminatedPods", shown, detail)


def _indexes(job: _Job, changes: _Changes) -> Errors:
    completions, spec = job.spec.get("completions"), job.spec
    completed, failed = job.status.get("completedIndexes") or "", job.status.get("failedIndexes")
    new_completed, new_failed = changes.field("completedIndexes"), changes.field("failedIndexes")
    if new_completed and completions is not None:
        yield from _readable("completedIndexes", completed, completions)
    per_index = spec.get("backoffLimitPerIndex") is not None
    if new_failed and completions is not None and per_index and failed is not None:
        yield from _readable("failedIndexes", failed, completions)
    if new_completed and completed and spec.get("completionMode") != "Indexed":
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield FieldError.invalid("status.completedIndexes", completed, detail)
    if new_failed and failed is not None and not per_index:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield FieldError.invalid("status.failedIndexes", failed, detail)
    if (new_completed or new_failed) and completions is not None and failed and completed:
        shared = _first_shared_index(completed, failed, completions)
        if shared is not None:
            detail = f"failedIndexes and completedIndexes overlap at index: {shared}"
            yield FieldError.invalid("status.failedIndexes", failed, detail)


def _readable(name: str, text: str, completions: int) -> Errors:
    try:
        index_intervals(text, completions)
    except IndexesError as error:
        yield FieldError.invalid(f"status.{name}", text, f"error parsing {name}: {error}")


def _first_shared_index(first: str, second: str, completions: int) -> int | None:
    """The first index in both lists; intervals that cannot be read are none."""
    intervals: tuple[list[tuple[int, int]], ...] = ([], [])
    for text, found in zip((first, second), intervals, strict=True):
        for part in text.split(","):
            try:
                found.append(index_interval(part, completions))
            except IndexesError:
                continue
    shared = [max(a, c) for a, b in intervals[0] for c, d in intervals[1] if a <= d and c <= b]
    return shared[0] if shared else None


def _pods(job: _Job, changes: _Changes) -> Errors:
    terminating, ready, active = (job.count(name) for name in ("terminating", "ready", "active"))
    if (changes.finished or changes.field("terminating")) and terminating > 0 and job.is_finished:
        yield FieldError.invalid("status.terminating", terminating, "terminating>0 is invalid for finished job")
    if changes.field("ready", "active") and ready > active:
        yield FieldError.invalid("status.ready", ready, "cannot set more ready pods than active")


def _success_criteria(job: _Job) -> Errors:
    is_met = "SuccessCriteriaMet" in job.is_true
    for name in ("Failed", "FailureTarget"):
        if is_met and name in job.is_true:
            yield _conditions(f"cannot set SuccessCriteriaMet=True and {name}=true conditions")
    if job.spec.get("successPolicy") is not None and not is_met and "Complete" in job.is_true:
        yield _conditions("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")


def _kept(job: _Job, old: _Job, changes: _Changes) -> Errors:
    for name in ("Failed", "Complete", "FailureTarget"):
        if name in old.is_true and name not in job.is_true:
            yield _conditions(f"cannot disable the terminal {name}=True condition")
    # An elastic Job may lose successful indexes when it is scaled down.
    elastic = job.spec.get("completionMode") == "Indexed" and job.spec.get("completions") == job.spec.get("parallelism")
    for name in ("failed",) if elastic else ("failed", "succeeded"):
        if job.count(name) < old.count(name):
            yield FieldError.invalid(f"status.{name}", job.count(name), f"cannot decrease the {name} counter")
    at, formerly_at = job.status.get("completionTime"), old.status.get("completionTime")
    if at is not None and formerly_at is not None and at != formerly_at:
        yield FieldError.invalid("status.completionTime", _time(at), "completionTime cannot be mutated")
    if changes.field("startTime") and old.status.get("startTime") is not None and not job.spec.get("suspend"):
        detail = "field is immutable for unsuspended job once set"
        yield FieldError.invalid("status.startTime", _time(job.status.get("startTime")), detail)
    was_met, is_met = ("SuccessCriteriaMet" in item.is_true for item in (old, job))
    if was_met and not is_met:
        yield _conditions("cannot disable the SuccessCriteriaMet=True condition")
    if "Complete" in old.is_true and not was_met and is_met:
        yield _conditions("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
