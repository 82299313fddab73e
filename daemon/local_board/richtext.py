"""Rich text: what is accepted, how it reads back, and its plain text.

Limits (documented and measured): text 2,000 UTF-16 units, link 2,000, equation 1,000, 100 items an array.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from daemon.local_board import shapes

TEXT_LIMIT = 2000
URL_LIMIT = 2000
EQUATION_LIMIT = 1000

COLORS = ("default", "gray", "brown", "orange", "yellow", "green", "blue", "purple", "pink", "red")
TEXT_COLORS = tuple(COLORS) + tuple(f"{name}_background" for name in ("default", *COLORS[1:]))

_ANNOTATIONS = ("bold", "italic", "strikethrough", "underline", "code")
_annotations = shapes.obj({**dict.fromkeys(_ANNOTATIONS, shapes.boolean), "color": shapes.enum(*TEXT_COLORS)})
_link = shapes.nullable(shapes.obj({"url": shapes.string(URL_LIMIT), "type": shapes.enum("url")}, ("url",)))
_id = shapes.obj(
    {"id": shapes.uuid, "object": shapes.string(), "type": shapes.anything}, ("id",), open_ended=True
)


def _date(value: Any, path: shapes.Path) -> list[shapes.Problem]:
    from daemon.local_board.values import check_date

    return check_date(value, path)


_mention = shapes.union(
    {
        "user": _id,
        "date": _date,
        "page": _id,
        "database": _id,
        "template_mention": shapes.json_object,
        "custom_emoji": shapes.json_object,
        "data_source": _id,
        "link_mention": shapes.json_object,
        "link_preview": shapes.json_object,
    }
)
_BODIES: dict[str, shapes.Check] = {
    "text": shapes.obj({"content": shapes.string(TEXT_LIMIT), "link": _link}, ("content",)),
    "mention": _mention,
    "equation": shapes.obj({"expression": shapes.string(EQUATION_LIMIT)}, ("expression",)),
}
_READ_ONLY = {"plain_text": shapes.anything, "href": shapes.anything}


_item = shapes.one_member(
    {
        kind: {kind: inner, "type": shapes.enum(kind), "annotations": _annotations, **_READ_ONLY}
        for kind, inner in _BODIES.items()
    }
)
check = shapes.array(_item)
"""Checks an array of rich text as it may be written."""


def _full_annotations(given: dict[str, Any] | None) -> dict[str, Any]:
    out: dict[str, Any] = {name: bool((given or {}).get(name, False)) for name in _ANNOTATIONS}
    out["color"] = (given or {}).get("color", "default")
    return out


def href_of(url: str) -> str:
    """A link as it reads back: a bare host gets its slash (recorded behaviour of the service's URL
    parser).
    """
    parts = urlsplit(url)
    if (
        parts.scheme in ("http", "https")
        and parts.netloc
        and not parts.path
        and not parts.query
        and not parts.fragment
    ):
        return url + "/"
    return url


def links(items: list[dict[str, Any]]) -> list[str]:
    """Every link in written rich text."""
    found = ((item.get("text") or {}).get("link") for item in items)
    return [link["url"] for link in found if link]


def is_link(url: str) -> bool:
    """Whether the service takes a URL for a link: with a scheme, or a path of its own."""
    return url.startswith("/") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:\S", url) is not None


def is_web(url: str) -> bool:
    """Whether a URL can be that of a picture."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def normalise(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Checked rich text in the form that is stored and served.  Empty text items vanish, as on the
    service.
    """
    out = []
    for item in items:
        kind = item.get("type") or next(name for name in _BODIES if name in item)
        if kind == "text":
            text = item["text"]
            if text["content"] == "":
                continue
            link = text.get("link")
            url = href_of(link["url"]) if link else None
            body: dict[str, Any] = {"content": text["content"], "link": {"url": url} if url else None}
            plain, href = text["content"], url
        elif kind == "equation":
            body = {"expression": item["equation"]["expression"]}
            plain, href = body["expression"], None
        else:
            body, plain, href = _mention_form(item["mention"], item.get("plain_text"))
        out.append(
            {
                "type": kind,
                kind: body,
                "annotations": _full_annotations(item.get("annotations")),
                "plain_text": plain,
                "href": href,
            }
        )
    return out


def _mention_form(mention: dict[str, Any], known: str | None) -> tuple[dict[str, Any], str, str | None]:
    kind = mention.get("type") or next(name for name in mention if name != "type")
    body = mention[kind]
    if kind == "date":
        date = {"start": body["start"], "end": body.get("end"), "time_zone": body.get("time_zone")}
        plain = date["start"] + (f" → {date['end']}" if date["end"] else "")
        return {"type": "date", "date": date}, plain, None
    if kind in ("page", "database", "data_source"):
        href = "https://app.notion.com/p/" + body["id"].replace("-", "")
        return {"type": kind, kind: {"id": body["id"]}}, known or "Untitled", href
    if kind == "user":
        return {"type": "user", "user": {"object": "user", "id": body["id"]}}, known or "@Anonymous", None
    url = body.get("url") or body.get("href")
    return {"type": kind, kind: body}, known or url or "", url


def plain(items: list[dict[str, Any]]) -> str:
    """The joined plain text, which is what filters and sorts see."""
    return "".join(item["plain_text"] for item in items)


def text_item(content: str, **annotations: Any) -> dict[str, Any]:
    """One stored text item."""
    return {
        "type": "text",
        "text": {"content": content, "link": None},
        "annotations": _full_annotations(annotations),
        "plain_text": content,
        "href": None,
    }
