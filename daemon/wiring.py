"""Settings → parts, for the daemon and for short commands alike."""

from __future__ import annotations

import platform
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from daemon.process import alone, kept_word
from daemon.settings.load import Loaded, load
from daemon.settings.model import BoardSettings

if TYPE_CHECKING:
    from daemon.board import NotionBoard
    from daemon.engine.registry import Registry
    from daemon.store import Store


def with_handlers(loaded: Loaded) -> tuple[Loaded, Registry]:
    """Find the handlers and read the settings again with their sections typed."""
    from daemon.engine.registry import Registry

    registry = Registry()
    broken = any(r.state != "loaded" for r in registry.records)
    asked = loaded.request
    full = load(
        home=asked.home,
        config=asked.config,
        env=asked.env,
        flags=asked.flags,
        sections=registry.sections(),
        keep_unknown=broken,
    )
    return full, registry


def open_store(loaded: Loaded) -> Store:
    """Our tables, on SQLite in the home folder or on ``store.url``."""
    from daemon.store import Store, open_engine
    from daemon.store.database import url_of

    loaded.paths.state_db.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with first_use(loaded):
        return Store(
            open_engine(url_of(loaded.settings.store.url, loaded.paths.state_db)),
            time.time,
            secrets.token_hex(4),
        )


@contextmanager
def first_use(loaded: Loaded) -> Iterator[None]:
    """One at a time opens the home folder's databases: a daemon and commands that come first together would
    each make a board, or find the file locked while another sets its journal mode (which waits for nobody).
    """
    loaded.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(loaded.home / "first-use.lock"):
        yield


def host_name(loaded: Loaded) -> str:
    """This machine's name as it may stand in a claim."""
    name = loaded.settings.host.name or platform.node() or "host"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:40].strip("-") or "host"


def section_of(loaded: Loaded, handler: Any) -> Any:
    """A handler's own settings. The addresses of Spotify and Eagle are sections of their own in the contract;
    a handler that has fields for them gets them there, unless its section names others."""
    section: Any = loaded.sections.get(handler.section)
    shared = {
        "spotify_base_url": loaded.settings.spotify.base_url,
        "eagle_base_url": (
            "" if loaded.origin("eagle.base_url") == "default" else loaded.settings.eagle.base_url
        ),
    }
    given = {k: v for k, v in shared.items() if v and getattr(section, k, None) == ""}
    if not given:
        return section
    import msgspec

    return msgspec.structs.replace(section, **given)


def executor_id(loaded: Loaded) -> str:
    """This home folder's id among the hosts of a store."""
    return kept_word(loaded.home / "host.id", lambda: f"host-{secrets.token_hex(8)}")


def board_token(loaded: Loaded) -> str:
    """The local board's bearer token, kept in the home folder."""
    return kept_word(loaded.home / "board.token", lambda: secrets.token_urlsafe(32))


def open_board(
    loaded: Loaded,
    *,
    address: str = "",
    stop: threading.Event,
    log: Any,
    on_call: Any = None,
    on_wait: Any = None,
    on_drift: Any = None,
) -> NotionBoard:
    """The board client: Notion, or the local board at ``address`` (its database is made if need be)."""
    from daemon.board import NotionBoard
    from daemon.board.pins import PinFile

    settings = loaded.settings.board
    made = partial(
        NotionBoard,
        clock=time.time,
        stop=stop,
        log=log,
        on_call=on_call,
        on_wait=on_wait,
        on_drift=on_drift,
        cautious=loaded.settings.claim.mode == "verify",
        pins=PinFile(loaded.home / "board-pins.json"),
    )
    if not loaded.local:
        token = loaded.secrets["notion_token"].reveal()
        return made(settings, token)
    settings = _local_settings(settings, address)
    token = board_token(loaded)
    if not settings.database_id and not settings.data_source_id:
        with first_use(loaded):
            settings = _with_database(settings, token, stop=stop, log=log)
    return made(settings, token)


def _local_settings(settings: BoardSettings, address: str) -> BoardSettings:
    import msgspec

    # The local board has no limit of its own; 60,000 keeps the budget's arithmetic without its waits.
    return msgspec.structs.replace(settings, base_url=address, rate_limit=60_000)


def _with_database(settings: BoardSettings, token: str, *, stop: threading.Event, log: Any) -> BoardSettings:
    import msgspec

    from daemon.board import NotionBoard
    from daemon.board.setup import create_tasks_database
    from daemon.local_board import DEFAULT_ROOT_PAGE

    setup = NotionBoard(settings, token, clock=time.time, stop=stop, log=log)
    try:
        database, source = create_tasks_database(setup.transport, DEFAULT_ROOT_PAGE)
    finally:
        setup.close()
    return msgspec.structs.replace(settings, database_id=database, data_source_id=source)
