"""What can be wrong although every single value is well-typed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from daemon.core.ids import normalise
from daemon.settings.model import Settings
from daemon.settings.sources import Given, dotted

_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")
"""It stands in the claim text on the page, between blanks and slashes."""


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a server bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def wrong_together(settings: Settings, given: Given, secrets: Mapping[str, Any]) -> list[str]:
    """Every finding, with key, place and what was expected."""
    found: list[tuple[tuple[str, ...], str]] = []
    for check in (_board, _times, _web, _places, _schedules):
        found += check(settings)
    if not is_loopback(settings.web.host) and settings.web.enabled and "web_token" not in secrets:
        found.append((("web", "host"), "a bind that others can reach needs the secret web_token"))
    return [f"{dotted(path)}: {what} ({given.origin(path)})" for path, what in found]


_Found = Iterator[tuple[tuple[str, ...], str]]


def _board(settings: Settings) -> _Found:
    board = settings.board
    for key in ("database_id", "data_source_id", "tracks_database_id", "agents_database_id"):
        value = getattr(board, key)
        if value and not _accepts(normalise, value):
            yield ("board", key), f"expected an id of 32 hex digits or a page URL, got {value!r}"
    for section, url in (
        ("board", board.base_url),
        ("spotify", settings.spotify.base_url),
        ("eagle", settings.eagle.base_url),
    ):
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            yield (section, "base_url"), f"expected an http:// or https:// address, got {url!r}"


def _times(settings: Settings) -> _Found:
    claim, run = settings.claim, settings.run
    if claim.mode == "verify" and claim.settle <= claim.call_timeout:
        yield (
            ("claim", "settle"),
            f"expected more than claim.call_timeout ({claim.call_timeout:g} s), got {claim.settle:g}: "
            "a late write could land after the read-back",
        )
    if run.backoff_max < run.backoff:
        yield ("run", "backoff_max"), f"expected at least run.backoff ({run.backoff:g} s)"


def _web(settings: Settings) -> _Found:
    if settings.web.host != "localhost" and not _accepts(ipaddress.ip_address, settings.web.host):
        yield ("web", "host"), f"expected an IP address or localhost, got {settings.web.host!r}"


def _places(settings: Settings) -> _Found:
    name = settings.host.name
    if name and not _HOST_NAME.fullmatch(name):
        yield ("host", "name"), f"expected letters, digits, dot, dash, underscore (at most 40), got {name!r}"


def _schedules(settings: Settings) -> _Found:
    for name, schedule in settings.schedules.items():
        if len(schedule.cron.split()) != 5:
            yield ("schedules", name, "cron"), f"expected five fields, got {schedule.cron!r}"
        if schedule.timezone and not _accepts(ZoneInfo, schedule.timezone):
            yield ("schedules", name, "timezone"), f"expected an IANA name, got {schedule.timezone!r}"


def _accepts(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except (ValueError, ZoneInfoNotFoundError):
        return False
    return True
