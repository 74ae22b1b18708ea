"""The strategy of CronJobs (upstream: pkg/apis/batch/validation/validation.go)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from control.api.errors import FieldError
from control.api.objects import Object
from control.apiserver.registry.strategies.cron_schedule import schedule_problem, time_zone_errors
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    judged,
    nonnegative,
    required_one_of,
    selector_form,
)
from control.apiserver.registry.strategies.job_spec_validation import job_spec
from control.apiserver.registry.strategies.jobs import job_warnings, name_warnings
from control.apiserver.registry.strategies.pod_defaults import default_pod_template
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.workload_rules import default_number
from control.apiserver.registry.strategy import WriteContext

#: a Job's name is the CronJob's, a dash and ten digits of its time
NAME_MAX = 52
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")

Spec = Mapping[str, Any]


class CronJobStrategy(StatusStrategy):
    """Rules of CronJobs."""

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults; those of the Job come when the Job is made."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        if not spec.get("concurrencyPolicy"):
            spec["concurrencyPolicy"] = "Allow"
        if spec.get("suspend") is None:
            spec["suspend"] = False
        default_number(spec, "successfulJobsHistoryLimit", 3)
        default_number(spec, "failedJobsHistoryLimit", 1)
        template = spec.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        default_pod_template(template.setdefault("spec", {}))

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new CronJob."""
        errors = list(_spec("spec", obj["spec"], None))
        name = obj["metadata"].get("name") or ""
        if len(name) > NAME_MAX:
            detail = f"must be no more than {NAME_MAX} characters"
            errors.append(FieldError.invalid("metadata.name", name, detail))
        return errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed CronJob; an old name may be longer."""
        return list(_spec("spec", obj["spec"], old["spec"]))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """A name that Pods cannot have; deprecated and doubtful fields."""
        job = job_warnings("spec.jobTemplate.spec", obj["spec"]["jobTemplate"]["spec"])
        return [*name_warnings(obj), *job, *_zone_in_schedule(obj)]

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """Fields of a changed spec, and a zone in the schedule."""
        job = obj["spec"]["jobTemplate"]["spec"]
        changed = [] if obj["spec"] == old["spec"] else job_warnings("spec.jobTemplate.spec", job)
        return [*changed, *_zone_in_schedule(obj)]


def _zone_in_schedule(obj: Object) -> Iterator[str]:
    if "TZ" in (obj["spec"].get("schedule") or ""):
        yield (
            "cannot use TZ or CRON_TZ in spec.schedule, use spec.timeZone instead, see https://kubernetes.io/docs/"
            "concepts/workloads/controllers/cron-jobs/#time-zones"
        )


def _spec(path: str, spec: Spec, old: Spec | None) -> Errors:
    yield from _schedule(f"{path}.schedule", spec, old)
    yield from nonnegative(f"{path}.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    if old is None or spec.get("timeZone") != old.get("timeZone"):
        yield from _time_zone(f"{path}.timeZone", spec.get("timeZone"))
    policies = ("Allow", "Forbid", "Replace")
    yield from required_one_of(f"{path}.concurrencyPolicy", spec.get("concurrencyPolicy"), policies)
    job = spec["jobTemplate"]["spec"]
    yield from job_spec(f"{path}.jobTemplate.spec", job)
    if job.get("selector") is not None:
        detail = "`selector` will be auto-generated"
        yield FieldError.invalid(f"{path}.jobTemplate.spec.selector", selector_form(job["selector"]), detail)
    if job.get("manualSelector"):
        yield FieldError.not_supported(f"{path}.jobTemplate.spec.manualSelector", True, ("nil", "false"))
    for name in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from nonnegative(f"{path}.{name}", spec.get(name))


def _schedule(path: str, spec: Spec, old: Spec | None) -> Errors:
    schedule = spec.get("schedule") or ""
    if not schedule:
        yield FieldError.required(path)
        return
    problem = schedule_problem(schedule)
    if problem:
        yield FieldError.invalid(path, schedule, problem)
    if "TZ" not in schedule:
        return
    if "TZ" not in ((old or {}).get("schedule") or ""):
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield FieldError.invalid(path, schedule, detail)
    elif spec.get("timeZone") is not None:
        yield FieldError.invalid(path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")


def _time_zone(path: str, name: str | None) -> Errors:
    if name is None:
        return
    if not name:
        yield FieldError.invalid(path, name, "timeZone must be nil or non-empty string")
        return
    parts = name.split("/")
    if any(part in (".", "..") or part.startswith("-") or not _ZONE_PART.fullmatch(part) for part in parts):
        yield FieldError.invalid(path, name, f"unknown time zone {name}")
        return
    if name.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield FieldError.invalid(path, name, detail)
    if name != "Local":
        yield from judged(path, name, time_zone_errors)
