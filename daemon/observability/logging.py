"""One event a line, from our code and from the libraries alike.

JSON on stdout; coloured text on a terminal; below systemd JSON with the journal's ``<N>`` priority prefix.
Every line passes the same last processor: secrets out (by value and by pattern), control and bidi characters
made visible. Ids are bound once with ``bind`` and ride along by contextvars.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import msgspec
import structlog

from daemon.core.text import visible
from daemon.settings.redact import Redactor

PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
"""Level → syslog priority (man 3 sd-daemon)."""

VENDORS = ("apscheduler", "dbos", "httpx", "httpcore", "notion_client", "uvicorn", "sqlalchemy", "spotipy")
"""Libraries that talk a lot: heard from warning on. Their own handlers are taken away."""

Event = MutableMapping[str, Any]


def configure(
    *,
    level: str = "info",
    format: str = "auto",  # noqa: A002 - the name of the setting
    stream: TextIO | None = None,
    redactor: Redactor | None = None,
    on_level: Callable[[str], None] | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Set up logging of this process; again to change it.

    ``stream``: stdout for the daemon (default), stderr for short commands. ``format``: auto | console |
    json. ``on_level`` is told the level of each line that is written (the metric).
    """
    out = sys.stdout if stream is None else stream
    journal = _is_journal(out, os.environ if env is None else env)
    console = format == "console" or (format == "auto" and not journal and out.isatty())
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # plain text: no values of local variables
    ]
    render: Any = _console(out, os.environ if env is None else env) if console else _json
    after: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _Last(redactor or Redactor(), on_level),
        _Prefix(journal, render),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *before], processors=after
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _route(formatter, out, getattr(logging, level.upper()))


def _route(formatter: logging.Formatter, out: TextIO, level: int) -> None:
    ours = logging.StreamHandler(out)
    ours.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [ours]
    root.setLevel(level)
    theirs = logging.StreamHandler(out)
    theirs.setFormatter(formatter)
    theirs.setLevel(max(level, logging.WARNING))
    for name in VENDORS:
        # DBOS adds a handler of its own unless it finds one: it finds this one.
        vendor = logging.getLogger(name)
        vendor.handlers[:] = [theirs]
        vendor.propagate = False
    logging.captureWarnings(True)


def get_logger(**ids: Any) -> Any:
    """A logger; ``ids`` are on each of its lines."""
    return structlog.stdlib.get_logger("handoffd", **ids)


@contextmanager
def bind(**ids: Any) -> Iterator[None]:
    """Put ids (task_id, run_id, handler, attempt …) on every line that is written inside."""
    with structlog.contextvars.bound_contextvars(**ids):
        yield


class _Last:
    """Nothing leaves without passing here."""

    def __init__(self, redactor: Redactor, on_level: Callable[[str], None] | None) -> None:
        self._redactor = redactor
        self._on_level = on_level

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        if self._on_level is not None:
            self._on_level(str(event.get("level", "info")))
        return {visible(k): _visible(self._redactor.value(v, k)) for k, v in event.items()}


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_visible(k): _visible(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_visible(v) for v in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return visible(str(value))


class _Prefix:
    """Puts the journal's priority before each line."""

    def __init__(self, journal: bool, render: Callable[[Any, str, Event], str]) -> None:
        self._journal = journal
        self._render = render

    def __call__(self, logger: Any, method: str, event: Event) -> str:
        priority = PRIORITY.get(str(event.get("level")), 6)
        text = self._render(logger, method, event)
        if not self._journal:
            return text
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


_encode = msgspec.json.Encoder(enc_hook=str).encode


def _json(_logger: Any, _method: str, event: Event) -> str:
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return _encode({**first, **event}).decode()


def _console(out: TextIO, env: Mapping[str, str]) -> Any:
    colors = out.isatty() and not env.get("NO_COLOR")
    # plain_traceback: the default prints the values of local variables when rich is there.
    plain = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)

    def render(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        gates = event.get("gates")
        return plain(logger, method, {**event, "gates": _in_short(gates)} if gates else event)

    return render


def _in_short(gates: Mapping[str, str]) -> str:
    """Twenty gates on one line of a terminal: how many passed, and which of those that apply did not."""
    apply = {name: result for name, result in gates.items() if result != "not_applicable"}
    rest = [f"{name} {result}" for name, result in apply.items() if result != "passed"]
    return ", ".join([f"{len(apply) - len(rest)} of {len(apply)} passed", *rest])


def _is_journal(out: TextIO, env: Mapping[str, str]) -> bool:
    """Whether ``out`` is the very stream that systemd named in JOURNAL_STREAM (man systemd.exec)."""
    named = env.get("JOURNAL_STREAM", "")
    if not named:
        return False
    try:
        stat = os.fstat(out.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{stat.st_dev}:{stat.st_ino}"
