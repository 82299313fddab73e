"""GET and PATCH /v1/pages/{id}/markdown."""

from __future__ import annotations

from typing import Any

from daemon.local_board import async_tasks, markdown_write, pages, shapes, tree
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.markdown_read import Reading

_replacement = shapes.obj(
    {"old_str": shapes.string(), "new_str": shapes.string(), "replace_all_matches": shapes.boolean},
    ("old_str", "new_str"),
)


_replacements = shapes.array(_replacement)
_updates = shapes.any_of(
    shapes.obj(
        {"content_updates": _replacements, "allow_deleting_content": shapes.boolean}, ("content_updates",)
    ),
    _replacements,
)
"""update_content: an array of replacements, or an object that holds it in content_updates."""

_insert = shapes.obj(
    {
        "content": shapes.string(),
        "after": shapes.string(),
        "position": shapes.obj({"type": shapes.enum("start", "end")}, ("type",)),
    },
    ("content",),
)
_replace = shapes.obj({"new_str": shapes.string(), "allow_deleting_content": shapes.boolean}, ("new_str",))
_range = shapes.obj(
    {"content": shapes.string(), "content_range": shapes.string(), "allow_deleting_content": shapes.boolean},
    ("content", "content_range"),
)
_commands: dict[str, shapes.Check] = {
    "insert_content": _insert,
    "replace_content": _replace,
    "update_content": _updates,
    "replace_content_range": _range,
}


def retrieve(call: Call) -> dict[str, Any]:
    """GET: the whole page as markdown."""
    row = tree.need_page(call, call.params["page_id"])
    if tree.in_trash(call, "page_id", row["id"]):
        raise call.not_found("page", row["id"])
    return _answer(call, row["id"])


def _answer(call: Call, page_id: str) -> dict[str, Any]:
    reading = Reading(call)
    return {
        "object": "page_markdown",
        "id": page_id,
        "markdown": reading.page(page_id),
        "truncated": False,
        "unknown_block_ids": reading.unknown,
    }


def update(call: Call) -> dict[str, Any]:
    """PATCH: one of insert_content, replace_content, update_content and replace_content_range."""
    shapes.check_body(call.body, shapes.union(_commands, extra=("type", "allow_async")))
    shapes.check_body(call.body, shapes.obj({"allow_async": shapes.boolean}, open_ended=True))
    kind = next(name for name in _commands if name in call.body)
    given = call.body[kind]
    row = tree.need_page(call, call.params["page_id"])
    tree.refuse_trashed(call, "page_id", row["id"])
    if kind == "insert_content":
        made = _insert_content(call, row["id"], given)
    else:
        current = Reading(call).page(row["id"])
        allowed = isinstance(given, dict) and bool(
            given.get("allow_deleting_content", kind == "replace_content")
        )
        made = markdown_write.rewrite(
            call, row["id"], _changed(kind, given, current), may_delete_pages=allowed
        )
    pages.touch(call, row)
    updated = [{"id": identifier, "type": "block"} for identifier in made]
    call.event(
        "page.content_updated", "page", row["id"], {"updated_blocks": updated, **pages.where(call, row)}
    )
    out = _answer(call, row["id"])
    if not call.body.get("allow_async"):
        return out
    members = ("markdown", "truncated", "unknown_block_ids", "id", "object")
    return async_tasks.accepted(
        call, "PATCH /v1/pages/:page_id/markdown", {name: out[name] for name in members}
    )


def _insert_content(call: Call, page_id: str, given: dict[str, Any]) -> list[str]:
    after = given.get("after")
    if after:
        behind = markdown_write.block_behind(call, page_id, after)
        return markdown_write.insert(call, page_id, given["content"], after=behind, at_start=False)
    at_start = (given.get("position") or {}).get("type") == "start"
    return markdown_write.insert(call, page_id, given["content"], after=None, at_start=at_start)


def _changed(kind: str, given: Any, current: str) -> str:
    """The page's markdown after the command."""
    if kind == "replace_content":
        text: str = given["new_str"]
        return text
    if kind == "replace_content_range":
        start, end = markdown_write.find_range(current, given["content_range"])
        return current[:start] + str(given["content"]) + current[end:]
    for item in given if isinstance(given, list) else given["content_updates"]:
        found = current.count(item["old_str"])
        if not item["old_str"] or found == 0:
            raise validation(f"Could not find `old_str` in the page content: {item['old_str']}")
        if found > 1 and not item.get("replace_all_matches"):
            raise validation(
                f"`old_str` matches {found} places in the page content; it must match exactly one."
            )
        current = current.replace(item["old_str"], item["new_str"])
    return current
