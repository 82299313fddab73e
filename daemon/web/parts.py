"""What the composition root hands to the web room, and what it may bind to."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.core.errors import ConfigError
from daemon.core.ports import Board
from daemon.core.snapshot import Snapshot
from daemon.store import Store

if TYPE_CHECKING:
    from starlette.types import ASGIApp

TOKEN_LENGTH = 16
"""Shortest token that may guard a bind others can reach: 16 random characters resist guessing over HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """Everything that the pages, the API and the webhooks need. Times are epoch seconds."""

    store: Store
    snapshot: Callable[[], Snapshot]
    clock: Callable[[], float]
    refresh: Callable[[], None]
    """"Look at the board now"; coalesced by the receiver."""
    metrics: Callable[[], bytes]
    """Prometheus text format."""
    reports: Path
    """The reports folder."""
    board: Board | None
    """For the actions (add a task, set a status) and the columns that a tick does not read."""
    token: str | None
    """Secret ``web_token``."""
    local_board: ASGIApp | None
    """Served below /v1/ and /_board/ in local mode."""
    notion_webhook_secret: str | None
    on_webhook: Callable[[dict[str, Any]], None] | None
    """Gets each new, signed and persisted Notion event. A hint: nothing in it is to be trusted."""
    music_webhook: Callable[[str, str], str] | None
    """(url, idempotency key) → id of the task that was created or was there already."""
    templates: Path
    """The folder ``templates/web``."""
    version: str
    host_name: str
    local: bool
    """True: the board is the local one, started by this daemon."""
    readiness: Callable[[], Sequence[tuple[str, bool, str]]]
    """(name, ok, message) for each thing that must be in order to take work."""
    interval: float = 30.0
    """Seconds between two ticks (poll.interval): the measure of liveness."""
    keep_webhook_secret: Callable[[str], str] | None = None
    """Keeps the verification token that a pairing received; returns where a person finds it, never the
    token itself. None = pairing is not offered."""


def is_loopback(host: str) -> bool:
    """True when a bind to ``host`` can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(host: str, token: str | None) -> None:
    """ConfigError when others could reach the dashboard without a token worth the name."""
    if is_loopback(host):
        return
    if not token:
        raise ConfigError(
            f"web.host is {host}: others on the network could reach the dashboard, and no token guards it",
            hint='set the secret web_token, or web.host = "127.0.0.1"',
        )
    if len(token) < TOKEN_LENGTH:
        raise ConfigError(
            f"web.host is {host} and the secret web_token has only {len(token)} characters",
            hint=f"use at least {TOKEN_LENGTH} random ones: "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
