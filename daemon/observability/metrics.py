"""Every metric in one table. Names follow Prometheus' rules: a prefix, base units, the unit last.

No label takes a value without a bound: task ids, titles and URLs are never labels.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)

DURATION_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table. Counters are named without their ``_total``."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def shown(self) -> str:
        """The name as it is scraped."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


TABLE = (
    Metric("gauge", "handoffd_build_info", "Always 1; the labels say what runs.", ("version", "python")),
    Metric("gauge", "handoffd_tasks_ready", "Tasks that are Ready, as of the last look."),
    Metric("gauge", "handoffd_tasks_in_progress", "Attempts under way on this host.", ("handler",)),
    Metric("counter", "handoffd_tasks_finished", "Attempts that ended.", ("handler", "outcome")),
    Metric("histogram", "handoffd_task_duration_seconds", "Claim to end.", ("handler",), DURATION_BUCKETS),
    Metric(
        "histogram", "handoffd_task_queue_time_seconds", "Seen to claimed.", ("handler",), DURATION_BUCKETS
    ),
    Metric("counter", "handoffd_task_retries", "Attempts put off.", ("handler", "error_code")),
    Metric("counter", "handoffd_poll", "Looks at the board: ok or error.", ("result",)),
    Metric("histogram", "handoffd_poll_duration_seconds", "One look, all its pages.", (), CALL_BUCKETS),
    Metric("gauge", "handoffd_last_successful_poll_timestamp_seconds", "Alert on its age."),
    Metric("counter", "handoffd_notion_requests", "Board calls.", ("operation", "code")),
    Metric(
        "histogram", "handoffd_notion_request_duration_seconds", "One call.", ("operation",), CALL_BUCKETS
    ),
    Metric("counter", "handoffd_notion_throttled_seconds", "Time spent waiting for the rate budget."),
    Metric("gauge", "handoffd_outbox_pending", "Last writes that the board has not taken yet."),
    Metric("gauge", "handoffd_outbox_oldest_timestamp_seconds", "Since when the oldest waits; 0 = none."),
    Metric("gauge", "handoffd_config_last_reload_successful", "1 = the settings in the file are in force."),
    Metric("gauge", "handoffd_config_last_reload_success_timestamp_seconds", "When they were last read."),
    Metric("counter", "handoffd_log_messages", "Lines written.", ("level",)),
)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        made = {m.name.removeprefix("handoffd_"): self._make(m) for m in TABLE}
        self._counters = {k: v for k, v in made.items() if isinstance(v, Counter)}
        self._gauges = {k: v for k, v in made.items() if isinstance(v, Gauge)}
        self._histograms = {k: v for k, v in made.items() if isinstance(v, Histogram)}
        self.set("build_info", 1, version=version, python=platform.python_version())
        for level in ("debug", "info", "warning", "error", "critical"):
            self.count("log_messages", 0, level=level)  # a rate needs the zero before the first line

    def _make(self, metric: Metric) -> Counter | Gauge | Histogram:
        if metric.kind == "counter":
            return Counter(metric.name, metric.help, metric.labels, registry=self.registry)
        if metric.kind == "gauge":
            return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
        return Histogram(
            metric.name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets
        )

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter; ``name`` without ``handoffd_`` and ``_total``. KeyError: not in the table."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge. KeyError: it is not in the table."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add a duration to a histogram. KeyError: it is not in the table."""
        histogram = self._histograms[name]
        (histogram.labels(**labels) if labels else histogram).observe(seconds)

    def clear(self, name: str) -> None:
        """Forget all label values of a gauge before it is set anew."""
        self._gauges[name].clear()

    def render(self) -> bytes:
        """The text that ``GET /metrics`` answers with."""
        return generate_latest(self.registry)
