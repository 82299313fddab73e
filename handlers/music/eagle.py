"""Eagle's local API, old (V1) and new (V2): import a file once, wait until it is there, merge its tags.

Facts and quirks: research/music.md §3. Eagle answers ``{"status", "data"}``; V1 returns before the copy is
complete, lists 200 items unless told, ignores filters that it does not know, and replaces tags. An import is
recognised so: V2 takes an id that we choose; V1 items carry a marker tag. The app is never started, and its
library never switched: that is the user's screen.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from daemon.sdk import BlockedError, ConfigError, PermanentError, TransientError, Unreachable

CONNECT_S, READ_S = 3.0, 20.0
MAX_ANSWER = 64 << 20
PAGE = 1000
V2_SINCE = (4, 0, 21)
"""Version and build from which /api/v2 is there."""
VISIBLE_S = 30.0
"""How long an import may take to appear; a large WAV is copied in a second or two."""
POLL_S = 0.25
_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One file to be in the library. ``name`` is what Eagle shows."""

    track: str
    format: str
    path: str
    name: str
    url: str
    tags: tuple[str, ...]

    @property
    def id(self) -> str:
        """The id that we choose: 13 characters as Eagle's own, always the same for a file of a track."""
        number = int.from_bytes(hashlib.sha256(f"{self.track}:{self.format}".encode()).digest()[:9], "big")
        out = ""
        while len(out) < 13:
            number, digit = divmod(number, 36)
            out += _BASE36[digit]
        return out

    @property
    def marker(self) -> str:
        """The tag that a V1 import is recognised by."""
        return f"handoffd:{self.track}:{self.format}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Where a file is in Eagle. ``how``: new | there."""

    format: str
    id: str
    how: str
    bytes: int


class Eagle:
    """One Eagle app. Raises Unreachable when it is not running: that is a reason to wait, not a failure."""

    def __init__(self, base_url: str, library: str = "") -> None:
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        if parts.scheme != "http" or parts.path.strip("/") or "@" in parts.netloc or not _loopback(host):
            raise ConfigError(
                f"music.eagle_base_url {base_url!r} is not an address of this machine",
                hint="it is http://127.0.0.1:41595",
            )
        self._host, self._port = host, parts.port or 80
        self._library = library
        info = self._data(self._get("/api/application/info"))
        self.version = str(info.get("version", ""))
        build = info.get("buildVersion") or info.get("build") or 0
        self.v2 = _at_least(self.version, str(build))
        self._check_library()

    def _check_library(self) -> None:
        if not self._library:
            return
        data = self._data(self._get("/api/v2/library/info" if self.v2 else "/api/library/info"))
        inner = data.get("library")
        named = str((inner if isinstance(inner, dict) else data).get("name", ""))
        if named != self._library:
            raise BlockedError(
                f"Eagle has the library {named!r} open, not {self._library!r}",
                hint="open the right library in Eagle",
            )

    def bring(self, wish: Wish) -> Imported:
        """The file is in the library afterwards, once: looked for first, added, then waited for."""
        size = Path(wish.path).stat().st_size
        known = self._find(wish)
        how = "there" if known else "new"
        if known is None:
            known = self._add(wish)
        item = self._wait(wish, known, size)
        self._merge_tags(item, wish)
        return Imported(format=wish.format, id=str(item["id"]), how=how, bytes=int(item.get("size") or 0))

    def _find(self, wish: Wish) -> str | None:
        if self.v2:
            found = self._item(wish.id)
            return wish.id if found else None
        seen: set[str] = set()
        offset = 0
        while True:
            query = urlencode({"limit": PAGE, "offset": offset, "keyword": wish.name, "tags": wish.marker})
            rows = self._get(f"/api/item/list?{query}").get("data") or []
            new = [r for r in rows if isinstance(r, dict) and str(r.get("id")) not in seen]
            for row in new:
                # The filters may be ignored, and items in the trash are listed: what counts is read here.
                if wish.marker in (row.get("tags") or []) and not row.get("isDeleted"):
                    return str(row["id"])
            if not new or len(rows) < PAGE:
                return None
            seen |= {str(r["id"]) for r in new}
            offset += len(rows)

    def _add(self, wish: Wish) -> str | None:
        body: dict[str, Any] = {"path": wish.path, "name": wish.name, "website": wish.url}
        body["tags"] = [*wish.tags] if self.v2 else [*wish.tags, wish.marker]
        try:
            if self.v2:
                data = self._post("/api/v2/item/add", {**body, "id": wish.id}).get("data")
            else:
                data = self._post("/api/item/addFromPath", body).get("data")
        except TransientError:
            # The answer was lost: it may be there all the same, and a second import would be a second item.
            return self._wait_for_find(wish)
        if isinstance(data, str) and data:
            return data
        if isinstance(data, dict):
            ids = data.get("ids") or [data.get("id")]
            return str(ids[0]) if ids and ids[0] else None
        return None

    def _wait_for_find(self, wish: Wish) -> str:
        give_up = time.monotonic() + 5.0
        while True:
            found = self._find(wish)
            if found:
                return found
            if time.monotonic() > give_up:
                raise Unreachable("Eagle did not answer the import, and the file is not there")
            time.sleep(POLL_S)

    def _wait(self, wish: Wish, known: str | None, size: int) -> dict[str, Any]:
        """The item once its copy is complete: as many bytes as the file has."""
        give_up = time.monotonic() + VISIBLE_S
        while True:
            known = known or self._find(wish)
            item = self._item(known) if known else None
            if item is not None and int(item.get("size") or 0) == size:
                return item
            if time.monotonic() > give_up:
                state = "is incomplete" if item else "did not appear"
                raise Unreachable(f"the import into Eagle {state} after {VISIBLE_S:.0f} s")
            time.sleep(POLL_S)

    def _item(self, known: str) -> dict[str, Any] | None:
        try:
            if self.v2:
                data = self._get(f"/api/v2/item/get?{urlencode({'id': known})}").get("data")
                rows = data.get("data") if isinstance(data, dict) else data
                found = (
                    rows[0] if isinstance(rows, list) and rows else rows if isinstance(rows, dict) else None
                )
            else:
                found = self._get(f"/api/item/info?{urlencode({'id': known})}").get("data")
        except PermanentError:
            return None
        return found if isinstance(found, dict) and found.get("id") and not found.get("isDeleted") else None

    def _merge_tags(self, item: dict[str, Any], wish: Wish) -> None:
        """Add what is missing; an update replaces the whole list, so it is read first and sent whole."""
        there = [str(t) for t in item.get("tags") or []]
        ours = [*wish.tags] if self.v2 else [*wish.tags, wish.marker]
        missing = [t for t in ours if t not in there]
        if missing:
            path = "/api/v2/item/update" if self.v2 else "/api/item/update"
            self._post(path, {"id": item["id"], "tags": there + missing})

    @staticmethod
    def _data(answer: dict[str, Any]) -> dict[str, Any]:
        data = answer.get("data")
        return data if isinstance(data, dict) else {}

    def _get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path, None)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        """One request, straight to the socket: no proxy, no redirect, no retry."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_S)
        try:
            connection.connect()
            if connection.sock is not None:
                connection.sock.settimeout(READ_S)
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            raw = response.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"Eagle does not answer: {error}", hint="start Eagle") from error
        finally:
            connection.close()
        try:
            answer = json.loads(raw) if len(raw) <= MAX_ANSWER else None
        except ValueError:
            answer = None
        if response.status >= 500:
            raise Unreachable(f"Eagle answers {response.status} to {path.split('?')[0]}")
        if not isinstance(answer, dict) or response.status != 200 or answer.get("status") != "success":
            raise PermanentError(f"Eagle refuses {path.split('?')[0]}: {response.status} {str(answer)[:120]}")
        return answer


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _at_least(version: str, build: str) -> bool:
    """Whether /api/v2 can be asked: 4.0 build 21 and later."""
    numbers = [int(p) for p in version.split(".")[:2] if p.isdecimal()]
    number = int("".join(c for c in build if c.isdecimal()) or 0)
    major, minor = [*numbers, 0, 0][:2]
    return (major, minor) > V2_SINCE[:2] or ((major, minor) == V2_SINCE[:2] and number >= V2_SINCE[2])
