"""`/metrics/probes`: by the kubelet's names (pkg/kubelet/prober/prober_manager.go, v1.36). Pure."""

from __future__ import annotations

from itertools import accumulate

from agent.pods.probe_tally import BUCKETS, ProbeTally
from agent.usage.prometheus import MetricFamily


def probe_metrics(tally: ProbeTally) -> list[MetricFamily]:
    """All families."""
    results = MetricFamily(
        "prober_probe_total",
        "counter",
        "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
    )
    durations = MetricFamily(
        "prober_probe_duration_seconds", "histogram", "[ALPHA] Duration in seconds for a probe response."
    )
    for probe, counts in tally:
        labels = {
            "probe_type": probe.kind,
            "container": probe.container,
            "pod": probe.pod,
            "namespace": probe.namespace,
        }
        by_result = {"successful": counts.successes, "failed": counts.failures}
        for result, count in by_result.items():
            if count:
                results.add(count, {**labels, "pod_uid": probe.pod_uid, "result": result})
        if not counts.successes:
            continue
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), accumulate(counts.buckets), strict=True):
            durations.add(count, {**labels, "le": bound.removesuffix(".0")}, suffix="_bucket")
        durations.add(counts.seconds, labels, suffix="_sum")
        durations.add(counts.successes, labels, suffix="_count")
    return [results, durations]
