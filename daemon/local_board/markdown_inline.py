"""Inline markdown: rich text to text and back.

The dialect is the service's ("enhanced markdown"): **bold**, *italic*, ~~strike~~, `code`, [text](url),
$`equation`$, <span underline="true">, <span color="…">, <br> for a line break inside a block, and mention
elements.
"""

from __future__ import annotations

import re
from typing import Any

from daemon.local_board import shapes
from daemon.local_board.richtext import TEXT_LIMIT

_ESCAPED = re.compile(r"([\\*~`$\[\]<>{}|^])")
_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def render(items: list[dict[str, Any]]) -> str:
    """Stored rich text as one line of markdown."""
    return "".join(_render_item(item) for item in items)


def _render_item(item: dict[str, Any]) -> str:
    if item["type"] == "equation":
        return f"$`{item['equation']['expression']}`$"
    if item["type"] == "mention":
        return _render_mention(item)
    text: str = item["text"]["content"]
    marks = item["annotations"]
    body = text.strip()
    lead, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    if not body:
        return text.replace("\n", "<br>")
    if marks["code"]:
        body = f"`{body}`"
    else:
        body = _ESCAPED.sub(r"\\\1", body)
        body = _UNDERSCORE.sub(lambda match: match.group(0).replace("_", "\\_"), body)
    body = body.replace("\n", "<br>")
    for name, mark in (("italic", "*"), ("bold", "**"), ("strikethrough", "~~")):
        if marks[name]:
            body = f"{mark}{body}{mark}"
    if item["href"]:
        body = f"[{body}]({item['href']})"
    if marks["underline"]:
        body = f'<span underline="true">{body}</span>'
    if marks["color"] != "default":
        body = f'<span color="{marks["color"].replace("_background", "_bg")}">{body}</span>'
    return lead.replace("\n", "<br>") + body + tail.replace("\n", "<br>")


def _render_mention(item: dict[str, Any]) -> str:
    mention = item["mention"]
    kind = mention["type"]
    if kind == "date":
        end = f' end="{mention["date"]["end"]}"' if mention["date"]["end"] else ""
        return f'<mention-date start="{mention["date"]["start"]}"{end}/>'
    if kind == "user":
        return f'<mention-user url="user://{mention["user"]["id"]}"/>'
    if kind in ("page", "database", "data_source"):
        tag = f"mention-{kind.replace('_', '-')}"
        return f'<{tag} url="{item["href"]}">{item["plain_text"]}</{tag}>'
    return _ESCAPED.sub(r"\\\1", str(item["plain_text"]))


_TOKEN = re.compile(
    r"""(?P<escape>\\[\\*~`$\[\]<>{}|^_\#+.!()-])
      | (?P<equation>\$`(?P<expression>[^`]+)`\$)
      | (?P<code>(?P<ticks>`+)(?P<literal>.+?)(?P=ticks)(?!`))
      | (?P<break><br\s*/?>)
      | (?P<span><span\s+(?P<attrs>[^>]*)>)
      | (?P<unspan></span>)
      | (?P<date><mention-date\s+start="(?P<start>[^"]+)"(?:\s+end="(?P<end>[^"]+)")?\s*/>)
      | (?P<page><mention-(?P<what>page|database|data-source)\s+url="(?P<target>[^"]+)"
          (?:\s*/>|>(?P<label>.*?)</mention-(?P=what)>))
      | (?P<user><mention-user\s+url="user://(?P<person>[^"]+)"\s*/>)
      | (?P<link>\[(?P<shown>(?:[^\[\]\\]|\\.)*)\]\((?P<url>[^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\))
      | (?P<auto><(?P<bare>https?://[^>\s]+)>)
      | (?P<bold>\*\*|__(?=\S)|(?<=\S)__)
      | (?P<strike>~~)
      | (?P<italic>\*|(?<![A-Za-z0-9])_(?=\S)|(?<=\S)_(?![A-Za-z0-9]))
    """,
    re.VERBOSE | re.DOTALL,
)
_ID_TAIL = re.compile(r"([0-9a-f]{32})(?:[?#].*)?\Z")


class _Reader:
    """One pass over a line, collecting items while marks are switched on and off."""

    def __init__(self, link: str | None = None, marks: dict[str, Any] | None = None) -> None:
        self.items: list[dict[str, Any]] = []
        self.marks: dict[str, Any] = dict(marks or {})
        self.link = link
        self.spans: list[dict[str, Any]] = []

    def text(self, content: str) -> None:
        if not content:
            return
        last = self.items[-1] if self.items else None
        if (
            last
            and last["type"] == "text"
            and last["annotations"] == self.marks
            and last["link"] == self.link
        ):
            last["content"] += content
            return
        self.items.append(
            {"type": "text", "content": content, "annotations": dict(self.marks), "link": self.link}
        )

    def toggle(self, name: str) -> None:
        if self.marks.pop(name, None) is None:
            self.marks[name] = True

    def open_span(self, attrs: str) -> None:
        saved = dict(self.marks)
        color = re.search(r'color="([a-z_]+)"', attrs)
        if color:
            self.marks["color"] = re.sub("_bg$", "_background", color.group(1))
        if 'underline="true"' in attrs:
            self.marks["underline"] = True
        self.spans.append(saved)

    def other(self, kind: str, body: dict[str, Any], plain: str | None = None) -> None:
        self.items.append({"type": kind, kind: body, "annotations": dict(self.marks), "plain": plain})


def parse(line: str) -> list[dict[str, Any]]:
    """Markdown text as writable rich text, in items of at most 2,000 UTF-16 units."""
    reader = _Reader()
    _read(reader, line)
    out: list[dict[str, Any]] = []
    for item in reader.items:
        if item["type"] != "text":
            written = {
                "type": item["type"],
                item["type"]: item[item["type"]],
                "annotations": item["annotations"],
            }
            if item["plain"]:
                written["plain_text"] = item["plain"]
            out.append(written)
            continue
        link = {"url": item["link"]} if item["link"] else None
        for piece in pieces(item["content"]):
            out.append(
                {"type": "text", "text": {"content": piece, "link": link}, "annotations": item["annotations"]}
            )
    return out


def pieces(text: str) -> list[str]:
    """A text cut into parts of at most 2,000 UTF-16 units, never inside a surrogate pair."""
    if shapes.utf16(text) <= TEXT_LIMIT:
        return [text]
    out: list[str] = []
    current: list[str] = []
    size = 0
    for char in text:
        width = 2 if ord(char) > 0xFFFF else 1
        if size + width > TEXT_LIMIT:
            out.append("".join(current))
            current, size = [], 0
        current.append(char)
        size += width
    return [*out, "".join(current)]


def _closes(line: str, match: re.Match[str], reader: _Reader, name: str) -> bool:
    """Whether an emphasis mark means something: it ends a run, or an equal mark follows later."""
    return name in reader.marks or match.group(0) in line[match.end() :]


def _read(reader: _Reader, line: str) -> None:
    at = 0
    while (match := _TOKEN.search(line, at)) is not None:
        reader.text(line[at : match.start()])
        at = match.end()
        kind = match.lastgroup or ""
        for name in (
            "escape",
            "equation",
            "code",
            "break",
            "span",
            "unspan",
            "date",
            "page",
            "user",
            "link",
            "auto",
        ):
            if match.group(name) is not None:
                kind = name
                break
        else:
            kind = next(name for name in ("bold", "strike", "italic") if match.group(name) is not None)
        _apply(reader, line, match, kind)
    reader.text(line[at:])


def _apply(reader: _Reader, line: str, match: re.Match[str], kind: str) -> None:
    if kind == "escape":
        reader.text(match.group(0)[1:])
    elif kind == "equation":
        reader.other("equation", {"expression": match.group("expression")})
    elif kind == "code":
        reader.marks["code"] = True
        reader.text(match.group("literal"))
        reader.marks.pop("code")
    elif kind == "break":
        reader.text("\n")
    elif kind == "span":
        reader.open_span(match.group("attrs"))
    elif kind == "unspan":
        if reader.spans:
            reader.marks = reader.spans.pop()
    elif kind == "date":
        reader.other(
            "mention", {"type": "date", "date": {"start": match.group("start"), "end": match.group("end")}}
        )
    elif kind == "user":
        reader.other("mention", {"type": "user", "user": {"id": match.group("person")}})
    elif kind == "page":
        _page_mention(reader, match)
    elif kind in ("link", "auto"):
        _link(reader, match.group("shown") or match.group("bare"), match.group("url") or match.group("bare"))
    else:
        name = {"bold": "bold", "strike": "strikethrough", "italic": "italic"}[kind]
        if _closes(line, match, reader, name):
            reader.toggle(name)
        else:
            reader.text(match.group(0))


def _page_mention(reader: _Reader, match: re.Match[str]) -> None:
    found = _ID_TAIL.search(match.group("target"))
    if found is None:
        reader.text(match.group("label") or match.group("target"))
        return
    digits = found.group(1)
    dashed = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    kind = match.group("what").replace("-", "_")
    reader.other("mention", {"type": kind, kind: {"id": dashed}}, match.group("label"))


def _link(reader: _Reader, shown: str, url: str) -> None:
    outer, reader.link = reader.link, url
    _read(reader, shown)
    reader.link = outer
