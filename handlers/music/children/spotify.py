"""One-shot process: ask Spotify one thing by spotipy, headless, and never wait inside its client.

Credentials come on stdin, so that they are in no process list. spotipy gets a plain requests session of ours:
its own would sleep through a ``Retry-After: 86400`` (research/music.md §4.4). Every field is optional.

Order: ``{"op": "now" | "liked" | "playlist" | "track", "id", "limit", "base_url", "client_id",
"client_secret", "refresh_token"}``. Answer: ``{"items": […], "note"}`` or ``{"error": {kind, message, …}}``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

TIMEOUT_S = 10.0
PAGE = 50


def plain(track: Any) -> dict[str, Any] | None:
    """One track as it is used; None for what is no track of the catalogue (episode, ad, local file)."""
    if not isinstance(track, dict) or not track.get("id") or track.get("is_local"):
        return None
    if track.get("type") not in (None, "track") or not track.get("name"):
        return None
    artists = [
        str(a["name"])[:200] for a in track.get("artists") or [] if isinstance(a, dict) and a.get("name")
    ]
    length = track.get("duration_ms")
    album: dict[str, Any] = track["album"] if isinstance(track.get("album"), dict) else {}
    return {
        "id": str(track["id"])[:64],
        "title": str(track["name"])[:300],
        "artists": artists[:20],
        "album": str(album.get("name") or "")[:300],
        "date": str(album.get("release_date") or "")[:10],
        "duration_s": length / 1000 if isinstance(length, int | float) and length > 0 else None,
        "isrc": str((track.get("external_ids") or {}).get("isrc") or "")[:20],
    }


def wrapped(row: Any) -> Any:
    """The track inside a saved or playlist row: ``track`` until 2026, ``item`` since."""
    return (row.get("track") or row.get("item")) if isinstance(row, dict) else None


class Client:
    """spotipy with a fresh token; renewed once when it is refused in the middle."""

    def __init__(self, order: dict[str, Any]) -> None:
        import requests
        from spotipy import MemoryCacheHandler, Spotify, SpotifyOAuth

        self._session = requests.Session()
        self._session.trust_env = False
        base = order.get("base_url", "").rstrip("/")
        self._refresh_token = order["refresh_token"]
        self._oauth = SpotifyOAuth(
            client_id=order["client_id"],
            client_secret=order["client_secret"],
            redirect_uri="http://127.0.0.1:9/none",
            open_browser=False,
            requests_session=self._session,
            requests_timeout=TIMEOUT_S,
            cache_handler=MemoryCacheHandler(),
        )
        if base:
            self._oauth.OAUTH_TOKEN_URL = f"{base}/api/token"
        self.api = Spotify(auth=self._token(), requests_session=self._session, requests_timeout=TIMEOUT_S)
        if base:
            self.api.prefix = f"{base}/v1/"

    def _token(self) -> str:
        return str(self._oauth.refresh_access_token(self._refresh_token)["access_token"])

    def get(self, path: str, **query: Any) -> Any:
        """One GET; a refused token is renewed once, a server error tried twice more."""
        from spotipy import SpotifyException

        renewed = False
        for attempt in range(3):
            try:
                return self.api._get(path, **query)
            except SpotifyException as error:
                if error.http_status == 401 and not renewed:
                    renewed = True
                    self.api.set_auth(self._token())
                elif error.http_status < 500 or attempt == 2:
                    raise
                else:
                    time.sleep(0.5 * (attempt + 1))
        return None


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out the order."""
    client, limit = Client(order), max(1, min(int(order.get("limit") or 5), 500))
    if order["op"] == "now":
        state = client.get("me/player/currently-playing")
        if not state:
            return {"items": [], "note": "nothing is playing"}
        kind = state.get("currently_playing_type") or "track"
        found = plain(state.get("item"))
        if kind != "track" or found is None:
            return {"items": [], "note": f"what plays is no track of the catalogue ({kind})"}
        return {"items": [found], "note": "playing" if state.get("is_playing") else "paused"}
    if order["op"] == "track":
        found = plain(client.get(f"tracks/{order['id']}"))
        return {"items": [found] if found else [], "note": ""}
    path = "me/tracks" if order["op"] == "liked" else f"playlists/{order['id']}/items"
    items: list[dict[str, Any]] = []
    offset = left_out = 0
    while len(items) < limit:
        page = client.get(path, limit=min(PAGE, limit), offset=offset) or {}
        rows = page.get("items") or []
        found_rows = [plain(wrapped(r)) for r in rows]
        items += [t for t in found_rows if t]
        left_out += sum(t is None for t in found_rows)
        offset += len(rows)
        if not rows or not page.get("next"):
            break
    return {"items": items[:limit], "note": f"{left_out} without a catalogue entry" if left_out else ""}


def problem(error: Exception) -> dict[str, Any]:
    """What went wrong, by kind: auth | forbidden | limited | network | missing | other."""
    status = int(getattr(error, "http_status", 0) or 0)
    headers = getattr(error, "headers", None) or {}
    name, text = type(error).__name__, str(error)[:300]
    out: dict[str, Any] = {"message": text, "status": status, "retry_after": headers.get("Retry-After")}
    if name == "SpotifyOauthError" or status == 401:
        kind = "auth"
    elif status == 403:
        kind = "forbidden"
    elif status == 429:
        kind = "limited"
    elif status == 404:
        kind = "missing"
    elif status >= 500 or any(c.__name__ in ("RequestException", "Timeout") for c in type(error).__mro__):
        kind = "network"
    else:
        kind = "other"
    return out | {"kind": kind}


def main() -> int:
    """One order, one answer."""
    order = json.loads(sys.stdin.read())
    try:
        said = answer(order)
    # spotipy, requests and a changed API raise all sorts; each becomes an answer with a kind.
    except Exception as error:  # noqa: BLE001
        said = {"error": problem(error)}
    json.dump(said, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
