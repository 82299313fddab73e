"""Which function answers which request.

A path that is known under another method is as unknown as any other: "Invalid request URL." before
everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daemon.local_board import (
    async_tasks,
    blocks,
    comments,
    data_sources,
    databases,
    markdown_pages,
    page_move,
    pages,
    property_items,
    query,
    search,
    small_endpoints,
    uploads,
    users,
    views,
)
from daemon.local_board.board import Call

Handler = Callable[[Call], dict[str, Any]]
PAGED = ("start_cursor", "page_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint.

    template: path below /v1/, with {names} for ids; writes: needs the writing transaction; query: names
    that the query string may hold; open_query: it may hold others too (measured for these two); bare: the
    answer carries no request_id; basic: Basic instead of Bearer authorization.
    """

    method: str
    template: str
    handler: Handler
    writes: bool = False
    query: tuple[str, ...] = ()
    open_query: bool = False
    bare: bool = False
    basic: bool = False

    @property
    def segments(self) -> list[str]:
        """The template, cut at slashes."""
        return self.template.split("/")


def _route(
    line: str,
    handler: Handler,
    *query_names: str,
    writes: bool | None = None,
    bare: bool = False,
    basic: bool = False,
    open_query: bool = False,
) -> Route:
    method, template = line.split(" ")
    if writes is None:
        writes = method != "GET"
    return Route(
        method=method,
        template=template,
        handler=handler,
        writes=writes,
        query=query_names,
        open_query=open_query,
        bare=bare,
        basic=basic,
    )


ROUTES = (
    _route("GET users", users.list_users, *PAGED),
    _route("GET users/me", users.me),
    _route("GET users/{user_id}", users.retrieve),
    _route("POST pages", pages.create, "filter_properties"),
    _route("GET pages/{page_id}", pages.retrieve, "filter_properties", open_query=True),
    _route("PATCH pages/{page_id}", pages.update, "filter_properties"),
    _route("POST pages/{page_id}/move", page_move.move),
    _route("GET pages/{page_id}/properties/{property_id}", property_items.retrieve, *PAGED),
    _route("GET pages/{page_id}/markdown", markdown_pages.retrieve, "include_transcript"),
    _route("PATCH pages/{page_id}/markdown", markdown_pages.update),
    _route("POST databases", databases.create),
    _route("GET databases/{database_id}", databases.retrieve),
    _route("PATCH databases/{database_id}", databases.update),
    _route("POST data_sources", data_sources.create),
    _route("GET data_sources/{data_source_id}", data_sources.retrieve),
    _route("PATCH data_sources/{data_source_id}", data_sources.update),
    _route("POST data_sources/{data_source_id}/query", query.run, "filter_properties", writes=False),
    _route(
        "GET data_sources/{data_source_id}/templates", data_sources.list_templates, "name", *PAGED, bare=True
    ),
    _route("GET blocks/{block_id}", blocks.retrieve),
    _route("PATCH blocks/{block_id}", blocks.update),
    _route("DELETE blocks/{block_id}", blocks.delete),
    _route("GET blocks/{block_id}/children", blocks.list_children, *PAGED),
    _route("PATCH blocks/{block_id}/children", blocks.append),
    _route("POST comments", comments.create),
    _route("GET comments", comments.list_comments, "block_id", *PAGED, open_query=True),
    _route("GET comments/{comment_id}", comments.retrieve),
    _route("PATCH comments/{comment_id}", comments.update),
    _route("DELETE comments/{comment_id}", comments.delete),
    _route("POST search", search.search, "filter_properties", writes=False),
    _route("POST file_uploads", uploads.create),
    _route("GET file_uploads", uploads.list_uploads, "status", *PAGED),
    _route("GET file_uploads/{file_upload_id}", uploads.retrieve),
    _route("POST file_uploads/{file_upload_id}/send", uploads.send),
    _route("POST file_uploads/{file_upload_id}/complete", uploads.complete),
    _route("POST views", views.create),
    _route("GET views", views.list_views, "database_id", "data_source_id", *PAGED),
    _route("GET views/{view_id}", views.retrieve),
    _route("PATCH views/{view_id}", views.update),
    _route("DELETE views/{view_id}", views.delete),
    _route("POST views/{view_id}/queries", views.create_query),
    _route("GET views/{view_id}/queries/{query_id}", views.query_results, *PAGED),
    _route("DELETE views/{view_id}/queries/{query_id}", views.delete_query),
    _route("GET custom_emojis", small_endpoints.list_custom_emojis, "name", *PAGED),
    _route("POST blocks/meeting_notes/query", small_endpoints.query_meeting_notes, writes=False),
    _route("GET async_tasks/{task_id}", async_tasks.retrieve),
    _route("POST oauth/token", small_endpoints.oauth_token, writes=False, basic=True),
    _route("POST oauth/introspect", small_endpoints.oauth_introspect, writes=False, basic=True),
    _route("POST oauth/revoke", small_endpoints.oauth_revoke, writes=False, basic=True),
)


def match(
    method: str, path: str, routes: tuple[Route, ...] | None = None
) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and the texts in the places of its {names}; literal segments win over names."""
    parts = path.strip("/").split("/")
    best: tuple[Route, dict[str, str]] | None = None
    for route in routes if routes is not None else ROUTES:
        segments = route.segments
        if route.method != method or len(segments) != len(parts):
            continue
        params: dict[str, str] = {}
        for segment, part in zip(segments, parts, strict=True):
            if segment.startswith("{"):
                params[segment[1:-1]] = part
            elif segment != part:
                break
        else:
            if best is None or len(params) < len(best[1]):
                best = (route, params)
    return best
