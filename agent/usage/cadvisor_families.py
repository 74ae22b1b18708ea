"""The metrics of containers in cadvisor's words: kind and help by name, without the prefix `container_`.

metrics/prometheus.go of github.com/google/cadvisor, as far as a kubelet has it collect (pkg/kubelet/cadvisor, v1.36).
"""

from __future__ import annotations

_PRESSURES = {
    f"pressure_{resource}_{name}_seconds_total": (
        "counter",
        f"Total time duration {who} due to {word} congestion.",
    )
    for resource, word in (("cpu", "CPU"), ("memory", "memory"), ("io", "IO"))
    for name, who in (
        ("stalled", "no tasks in the container could make progress"),
        ("waiting", "tasks in the container have waited"),
    )
}
_NETWORK = {
    f"network_{way}_{name}_total": ("counter", f"Cumulative count of {what}".format(verb=verb))
    for way, verb in (("receive", "receiv"), ("transmit", "transmitt"))
    for name, what in (
        ("bytes", "bytes {verb}ed"),
        ("packets", "packets {verb}ed"),
        ("packets_dropped", "packets dropped while {verb}ing"),
        ("errors", "errors encountered while {verb}ing"),
    )
}

FAMILIES: dict[str, tuple[str, str]] = {
    "blkio_device_usage_total": ("counter", "Blkio Device bytes usage"),
    "cpu_cfs_periods_total": ("counter", "Number of elapsed enforcement period intervals."),
    "cpu_cfs_throttled_periods_total": ("counter", "Number of throttled period intervals."),
    "cpu_cfs_throttled_seconds_total": ("counter", "Total time duration the container has been throttled."),
    "cpu_system_seconds_total": ("counter", "Cumulative system cpu time consumed in seconds."),
    "cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed in seconds."),
    "cpu_user_seconds_total": ("counter", "Cumulative user cpu time consumed in seconds."),
    "file_descriptors": ("gauge", "Number of open file descriptors for the container."),
    "fs_inodes_free": ("gauge", "Number of available Inodes"),
    "fs_inodes_total": ("gauge", "Number of Inodes"),
    "fs_limit_bytes": ("gauge", "Number of bytes that can be consumed by the container on this filesystem."),
    "fs_reads_bytes_total": ("counter", "Cumulative count of bytes read"),
    "fs_reads_total": ("counter", "Cumulative count of reads completed"),
    "fs_usage_bytes": ("gauge", "Number of bytes that are consumed by the container on this filesystem."),
    "fs_writes_bytes_total": ("counter", "Cumulative count of bytes written"),
    "fs_writes_total": ("counter", "Cumulative count of writes completed"),
    "last_seen": ("gauge", "Last time a container was seen by the exporter"),
    "memory_cache": ("gauge", "Number of bytes of page cache memory."),
    "memory_failcnt": ("counter", "Number of memory usage hits limits"),
    "memory_failures_total": ("counter", "Cumulative count of memory allocation failures."),
    "memory_mapped_file": ("gauge", "Size of memory mapped files in bytes."),
    "memory_max_usage_bytes": ("gauge", "Maximum memory usage recorded in bytes"),
    "memory_rss": ("gauge", "Size of RSS in bytes."),
    "memory_swap": ("gauge", "Container swap usage in bytes."),
    "memory_total_active_file_bytes": ("gauge", "Current total active file in bytes."),
    "memory_total_inactive_file_bytes": ("gauge", "Current total inactive file in bytes."),
    "memory_usage_bytes": (
        "gauge",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
    ),
    "memory_working_set_bytes": ("gauge", "Current working set in bytes."),
    **_NETWORK,
    "oom_events_total": ("counter", "Count of out of memory events observed for the container"),
    **_PRESSURES,
    "processes": ("gauge", "Number of processes running inside the container."),
    "sockets": ("gauge", "Number of open sockets for the container."),
    "spec_cpu_period": ("gauge", "CPU period of the container."),
    "spec_cpu_quota": ("gauge", "CPU quota of the container."),
    "spec_cpu_shares": ("gauge", "CPU share of the container."),
    "spec_memory_limit_bytes": ("gauge", "Memory limit for the container."),
    "spec_memory_reservation_limit_bytes": ("gauge", "Memory reservation limit for the container."),
    "spec_memory_swap_limit_bytes": ("gauge", "Memory swap limit for the container."),
    "start_time_seconds": ("gauge", "Start time of the container since unix epoch in seconds."),
    "threads": ("gauge", "Number of threads running inside the container"),
    "threads_max": ("gauge", "Maximum number of threads allowed inside the container, infinity if value is zero"),
    "ulimits_soft": (
        "gauge",
        "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice",
    ),
}
