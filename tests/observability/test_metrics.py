"""The table of metrics, and what is scraped."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from daemon.observability.metrics import TABLE, Metric, Metrics

BOUNDED = {"version", "python", "handler", "outcome", "error_code", "result", "operation", "code", "level"}


def scrape(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for s in family.samples
    }


def test_what_is_counted_set_and_observed_is_scraped() -> None:
    metrics = Metrics("1.2.3")
    metrics.count("tasks_finished", handler="report", outcome="done")
    metrics.count("tasks_finished", 2, handler="report", outcome="done")
    metrics.set("tasks_ready", 7)
    metrics.observe("poll_duration_seconds", 0.2)
    found = scrape(metrics)
    assert found["handoffd_tasks_finished_total", (("handler", "report"), ("outcome", "done"))] == 3
    assert found["handoffd_tasks_ready", ()] == 7
    assert found["handoffd_poll_duration_seconds_count", ()] == 1
    assert any(name == "handoffd_build_info" and dict(labels)["version"] == "1.2.3" for name, labels in found)
    assert found["handoffd_log_messages_total", (("level", "error"),)] == 0
    assert any(name.startswith("process_") for name, _ in found)


def test_a_name_that_is_not_in_the_table_is_a_bug_at_once() -> None:
    with pytest.raises(KeyError):
        Metrics("1").count("taskz_finished")


def test_two_daemons_in_one_process_do_not_share_numbers() -> None:
    one, two = Metrics("1"), Metrics("1")
    one.set("tasks_ready", 5)
    assert scrape(two)["handoffd_tasks_ready", ()] == 0
    assert isinstance(one.registry, CollectorRegistry)


@pytest.mark.parametrize("metric", TABLE, ids=lambda m: m.shown)
def test_names_follow_the_rules(metric: Metric) -> None:
    assert metric.name.startswith("handoffd_")
    assert set(metric.labels) <= BOUNDED
    assert metric.help
