"""The strategy of CronJobs (upstream: pkg/apis/batch/validation/validation.go)."""

from __future__ import annotations

import zoneinfo
from typing import Any

from control.api.errors import FieldError
from control.api.objects import Object
from control.apiserver.registry.strategies.cron_schedule import schedule_problem
from control.apiserver.registry.strategies.field_rules import Errors, nonnegative, required_one_of, selector_form
from control.apiserver.registry.strategies.job_spec_validation import job_spec
from control.apiserver.registry.strategies.pod_defaults import default_pod_template
from control.apiserver.registry.strategies.pod_warnings import template_warnings
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategies.workload_rules import default_number
from control.apiserver.registry.strategy import WriteContext

#: a Job's name is the CronJob's, a dash and ten digits of its time
NAME_MAX = 52


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
        errors = list(_spec("spec", obj["spec"]))
        name = obj["metadata"].get("name") or ""
        if len(name) > NAME_MAX:
            detail = f"must be no more than {NAME_MAX} characters"
            errors.append(FieldError.invalid("metadata.name", name, detail))
        return errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed CronJob; an old name may be longer."""
        return list(_spec("spec", obj["spec"]))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Deprecated and doubtful fields."""
        spec = obj["spec"]
        warnings = list(template_warnings("spec.jobTemplate.spec.template", spec["jobTemplate"]["spec"]["template"]))
        if "TZ" in (spec.get("schedule") or ""):
            warnings.append(
                "cannot use TZ or CRON_TZ in spec.schedule, use spec.timeZone instead, see https://kubernetes.io/docs/concepts/"
                "workloads/controllers/cron-jobs/#time-zones"
            )
        return warnings


def _spec(path: str, spec: Any) -> Errors:
    schedule = spec.get("schedule") or ""
    if not schedule:
        yield FieldError.required(f"{path}.schedule")
    else:
        problem = schedule_problem(schedule)
        if problem:
            yield FieldError.invalid(f"{path}.schedule", schedule, problem)
        if "TZ" in schedule:
            detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            yield FieldError.invalid(f"{path}.schedule", schedule, detail)
    yield from nonnegative(f"{path}.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    yield from _time_zone(f"{path}.timeZone", spec.get("timeZone"))
    yield from required_one_of(
        f"{path}.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace")
    )
    job = spec["jobTemplate"]["spec"]
    if job.get("selector") is not None:
        detail = "`selector` will be auto-generated"
        yield FieldError.invalid(f"{path}.jobTemplate.spec.selector", selector_form(job["selector"]), detail)
    if job.get("manualSelector"):
        yield FieldError.not_supported(f"{path}.jobTemplate.spec.manualSelector", True, ("nil", "false"))
    yield from job_spec(f"{path}.jobTemplate.spec", job)
    for name in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from nonnegative(f"{path}.{name}", spec.get(name))


def _time_zone(path: str, name: str | None) -> Errors:
    if name is None:
        return
    if not name:
        yield FieldError.invalid(path, name, "must be nil or non-empty string")
    elif name.lower() == "local":
        detail = "must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield FieldError.invalid(path, name, detail)
    elif not _is_known_zone(name):
        yield FieldError.invalid(path, name, f"unknown time zone {name}")


def _is_known_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True
