"""The checks of ``handoffd doctor``: each looks at one thing and says what is wrong and how to mend it."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.core.errors import HandoffdError
from daemon.sdk import Check
from daemon.settings.sources import COMMAND_LINE

if TYPE_CHECKING:
    from daemon.engine.registry import Registry
    from daemon.settings import Loaded

OLDEST_PYTHON = (3, 11)
DISK_WARN, DISK_BROKEN = 5 * 2**30, 500 * 2**20
"""Bytes. A WAV of ten minutes is 100 MB, and a sync makes four files of a track beside the download."""
SKEW_WARN_S, SKEW_BROKEN_S = 5.0, 60.0
"""Leases last minutes: with a minute of skew two hosts disagree on who is alive."""
DATE_TIMEOUT_S = 10.0


def of_error(name: str, error: HandoffdError, *, state: str = "broken") -> Iterator[Check]:
    """One check for each problem of an error; its hint is the fix."""
    for problem in error.problems or (error.message,):
        yield Check(name=name, state=state, message=problem, fix=error.hint)


def python() -> Iterator[Check]:
    """The interpreter."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        yield Check(
            name="python", state="broken", message=f"Python {version}", fix="install Python 3.11 or later"
        )
    else:
        yield Check(name="python", state="ok", message=f"Python {version}, {sys.executable}")


def settings(loaded: Loaded) -> Iterator[Check]:
    """Where the settings come from, and what they leave unusable."""
    config = loaded.paths.config
    given = sum(origin != COMMAND_LINE for origin in loaded.origins.values())
    where = str(config) if config.exists() else f"no file ({config})"
    yield Check(name="settings", state="ok", message=f"{where}; {given} values set, the rest are defaults")
    for name in loaded.secrets:
        yield Check(name="secret", state="ok", message=f"{name} from {loaded.secrets.origin(name)}")
    for section, why in loaded.unset.items():
        yield Check(
            name=f"settings {section}",
            state="warn",
            message=f"not configured: {why}",
            fix=f"add [{section}] to {config}",
        )


def folders(loaded: Loaded) -> Iterator[Check]:
    """The home folder: there, ours, with room."""
    home = loaded.home
    place = next(p for p in (home, *home.parents) if p.exists())
    if not place.is_dir() or not _writable(place):
        yield Check(
            name="home", state="broken", message=f"{place} can't be written", fix="chown it, or --home DIR"
        )
        return
    yield Check(
        name="home", state="ok", message=str(home) + ("" if home.exists() else " (made at the first run)")
    )
    free = shutil.disk_usage(place).free
    state = "broken" if free < DISK_BROKEN else "warn" if free < DISK_WARN else "ok"
    fix = "" if state == "ok" else "make room, or move folders by [paths], reports.folder, music.output"
    yield Check(
        name="disk", state=state, message=f"{free / 2**30:.1f} GiB free", fix=fix, data={"free": free}
    )


def _writable(folder: Path) -> bool:
    import os

    return os.access(folder, os.W_OK | os.X_OK)


def store(loaded: Loaded) -> Iterator[Check]:
    """The store opens, and no newer handoffd wrote it."""
    from daemon.wiring import open_store

    try:
        with closing(open_store(loaded)) as opened:
            kind = opened.engine.dialect.name
            yield Check(name="store", state="ok", message=f"{kind}, id {opened.id}")
    except HandoffdError as error:
        yield from of_error("store", error)


def board(loaded: Loaded) -> Iterator[Check]:
    """The board answers, and its schema has what is needed."""
    from daemon.service import session

    try:
        with session(loaded) as parts:
            info = parts.board.open()
            daemon = parts.daemon
    except HandoffdError as error:
        yield from of_error("board", error)
        return
    where = "the local board" if loaded.local else loaded.settings.board.base_url
    bound = f"“{info.title}” on {where}: {len(info.bound)} properties bound"
    if info.missing:
        names = ", ".join(info.missing)
        fix = "add those whose use you want (contract: names and types in docs/board.md)"
        yield Check(name="board", state="warn", message=f"{bound}; not there, so off: {names}", fix=fix)
    else:
        yield Check(name="board", state="ok", message=bound)
    running = f"runs, pid {daemon.pid}{', ' + daemon.web if daemon.web else ''}" if daemon else "does not run"
    yield Check(name="daemon", state="ok", message=running)
    yield from _port(loaded, taken_by_us=daemon is not None)


def _port(loaded: Loaded, *, taken_by_us: bool) -> Iterator[Check]:
    web = loaded.settings.web
    if not web.enabled or taken_by_us or web.port == 0:
        return
    family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((web.host, web.port))
        except OSError as error:
            message = f"{web.host} port {web.port}: {error.strerror}"
            yield Check(
                name="dashboard", state="broken", message=message, fix="set web.port, or web.enabled = false"
            )
            return
    yield Check(name="dashboard", state="ok", message=f"{web.host} port {web.port} is free")


def clock(loaded: Loaded, now: Callable[[], float]) -> Iterator[Check]:
    """Our clock against the board's, from the Date of an answer (whole seconds)."""
    if loaded.local:
        yield Check(name="clock", state="ok", message="the local board uses this machine's clock")
        return
    try:
        theirs = _date_of(loaded.settings.board.base_url)
    except (OSError, ValueError) as error:
        yield Check(name="clock", state="warn", message=f"could not be compared: {error}")
        return
    skew = now() - theirs
    size = abs(skew)
    state = "broken" if size > SKEW_BROKEN_S else "warn" if size > SKEW_WARN_S else "ok"
    fix = "" if state == "ok" else "switch on time synchronisation (timedatectl set-ntp true)"
    yield Check(
        name="clock", state=state, message=f"{skew:+.0f} s against the board", fix=fix, data={"skew": skew}
    )


def _date_of(address: str) -> float:
    from email.utils import parsedate_to_datetime
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=DATE_TIMEOUT_S)
    try:
        connection.request("HEAD", "/")
        date = connection.getresponse().getheader("date")
    except HTTPException as error:
        raise ValueError(f"no HTTP answer: {error}") from error
    finally:
        connection.close()
    if not date:
        raise ValueError("the answer has no Date")
    return parsedate_to_datetime(date).timestamp()


def handlers(loaded: Loaded, registry: Registry) -> Iterator[Check]:
    """Each handler loads, and what it needs is there."""
    for found in registry.found():
        if found.state != "loaded":
            fix = f"mend or uninstall {found.dist or 'its package'}"
            yield Check(name=f"handler {found.name}", state="broken", message=found.reason, fix=fix)
            continue
        yield Check(name=f"handler {found.name}", state="ok", message=f"{found.dist} {found.version}")
        registered = registry.get(found.name)
        look = getattr(registered.handler, "checks", None) if registered else None
        if look is not None and registered is not None:
            yield from _own_checks(
                found.name, look, loaded.sections.get(registered.handler.section), loaded.home
            )


def _own_checks(
    name: str, look: Callable[[Any, Path], list[Check]], section: Any, home: Path
) -> Iterator[Check]:
    if section is None:
        return
    try:
        yield from look(section, home)
    except HandoffdError as error:
        yield from of_error(f"handler {name}", error)
    except Exception as error:  # noqa: BLE001 - a third party's check may raise anything; the others go on
        yield Check(
            name=f"handler {name}",
            state="broken",
            message=f"its own check failed: {type(error).__name__}: {error}",
            fix="report it to the handler's author",
        )


def templates(loaded: Loaded) -> Iterator[Check]:
    """Every report template renders with sample evidence."""
    from daemon.cli.report import room

    try:
        wrong = room(loaded).check_templates()
    except HandoffdError as error:
        yield from of_error("templates", error)
        return
    for line in wrong:
        yield Check(name="templates", state="broken", message=line, fix="correct it in reports.templates")
    if not wrong:
        yield Check(name="templates", state="ok", message="every report renders")


def service() -> Iterator[Check]:
    """What the service manager has of us. A daemon may well be run by hand: nothing here is broken."""
    from daemon.cli.managers import manager_for

    found = [(scope, manager_for(system=scope == "system")) for scope in ("system", "user")]
    installed = [(scope, manager) for scope, manager in found if manager.file.exists()]
    if not installed:
        message = "not installed; `handoffd service install` does it"
        yield Check(name="service", state="ok", message=message)
    for scope, manager in installed:
        if not manager.running():
            yield Check(
                name="service",
                state="warn",
                message=f"{manager.file} is there, but {manager.name} does not run",
                fix="start it where it runs",
            )
            continue
        state = manager.state()["state"]
        fix = "" if state == "running" else f"handoffd service install --{scope}"
        message = f"{scope} service, {state}"
        yield Check(name="service", state="ok" if state == "running" else "warn", message=message, fix=fix)
