"""File objects: icons, covers, files properties and media blocks, as written and as served.

Uploaded files are served from the board itself at /_board/files/<upload id>/<name>; like the service's signed
links these carry an expiry time, an hour ahead, that moves with every read.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote as url_quote

from daemon.local_board import shapes
from daemon.local_board.times import precise

LINK_LIFE_MS = 3_600_000
"""How long a served file link says it lives (documented: one hour)."""

_external = shapes.obj({"url": shapes.string(2000)}, ("url",))
_uploaded = shapes.obj({"id": shapes.uuid}, ("id",))
_hosted = shapes.obj({"url": shapes.string(), "expiry_time": shapes.string()}, ("url",))

check_cover = shapes.union({"file_upload": _uploaded, "external": _external})
"""A page or database cover."""

_named = {"name": shapes.string(), "type": shapes.anything}
check_named = shapes.any_of(
    shapes.obj({"file": _hosted, **_named}, ("file", "name")),
    shapes.obj({"external": _external, **_named}, ("external", "name")),
    shapes.obj({"file_upload": _uploaded, **_named}, ("file_upload",)),
)
"""One element of a files property: only an upload has a name of its own."""

check_icon = shapes.union(
    {
        "file_upload": _uploaded,
        "emoji": shapes.string(),
        "external": _external,
        "custom_emoji": shapes.obj(
            {"id": shapes.uuid, "name": shapes.string(), "url": shapes.string()}, ("id",)
        ),
        "icon": shapes.obj({"name": shapes.string(), "color": shapes.string()}, ("name",)),
    }
)
"""A page, database or callout icon; the forms in the order in which a refusal lists them (the published
schema).
"""


def kind_of(value: dict[str, Any]) -> str:
    """Which sort of file a checked object is."""
    return next(
        name for name in ("emoji", "external", "file_upload", "file", "custom_emoji", "icon") if name in value
    )


def stored(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """The form kept: its type and that type's body."""
    if value is None:
        return None
    kind = kind_of(value)
    return {"type": kind, kind: value[kind]}


def stored_named(value: dict[str, Any], fallback: str) -> dict[str, Any]:
    """One element of a files property: its name goes first."""
    kind = kind_of(value)
    return {"name": value.get("name") or fallback, "type": kind, kind: value[kind]}


def served(value: dict[str, Any] | None, base_url: str, now_ms: int) -> dict[str, Any] | None:
    """A stored file object as an answer shows it: uploads become hosted files with a link that expires."""
    if value is None or value.get("type") != "file_upload":
        return value
    body = value["file_upload"]
    name = url_quote(body.get("name") or value.get("name") or "file")
    link = {
        "url": f"{base_url}/_board/files/{body['id']}/{name}",
        "expiry_time": precise(now_ms + LINK_LIFE_MS).replace("+00:00", "Z"),
    }
    kept = {key: inner for key, inner in value.items() if key not in ("type", "file_upload")}
    if "name" in kept:
        return {"name": kept.pop("name"), "type": "file", "file": link, **kept}
    return {**kept, "type": "file", "file": link}
