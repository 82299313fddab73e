"""Who edited a page last: we, or somebody else. One call for each editor, remembered."""

from __future__ import annotations

import threading

from daemon.board.transport import Transport
from daemon.core import ids
from daemon.core.errors import HandoffdError, TransientError
from daemon.sdk import Log


class Editors:
    """Ids of users → whether they are people. Thread-safe."""

    def __init__(self, transport: Transport, *, log: Log) -> None:
        self._transport = transport
        self._log = log
        self._lock = threading.Lock()
        self._people: dict[str, bool] = {}

    def person(self, user_id: str) -> bool:
        """True for a person, and for a user that can't be asked for (an integration may lack that right):
        at worst a row waits a moment. False for bots, of which we are one, and for no id.

        ``user_id``: 32 hex digits. Never raises: a failed question is asked again the next time.
        """
        if not user_id:
            return False
        with self._lock:
            if not self._people:
                self._ask("me")
            if user_id not in self._people:
                self._ask(user_id)
            return self._people.get(user_id, True)

    def meet(self) -> None:
        """Learn who we are, with one call, so that no look has to. Never raises."""
        with self._lock:
            if not self._people:
                self._ask("me")

    def _ask(self, who: str) -> None:
        path = "users/me" if who == "me" else f"users/{ids.dashed(who)}"
        try:
            self._remember(self._transport.call("editor", "GET", path))
        except HandoffdError as error:
            self._log.debug("board.editor_unknown", user=who, error=error.one_line())
            if not isinstance(error, TransientError):
                self._people[who] = True

    def _remember(self, user: dict[str, object]) -> None:
        self._people[str(user.get("id", "")).replace("-", "")] = user.get("type") != "bot"
