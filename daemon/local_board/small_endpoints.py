"""Endpoints that have next to nothing to say here: custom emojis, meeting notes, OAuth."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from daemon.local_board import shapes
from daemon.local_board.board import Board, Call
from daemon.local_board.errors import OAuthError, not_served
from daemon.local_board.listing import envelope

SCOPE = "read_content insert_content update_content read_user_with_email read_user_without_email"
"""What the recorded introspection says of an internal integration's token."""


def list_custom_emojis(call: Call) -> dict[str, Any]:
    """GET /v1/custom_emojis: none; the members stand in this endpoint's own order."""
    return {"object": "list", "type": "custom_emoji", "results": [], "has_more": False, "next_cursor": None}


def query_meeting_notes(call: Call) -> dict[str, Any]:
    """POST /v1/blocks/meeting_notes/query: nobody records meetings on a local board."""
    fields = {"filter": shapes.json_object, "sort": shapes.anything, "limit": shapes.integer(1)}
    shapes.check_body(call.body, shapes.obj(fields))
    return envelope("block", [], None)


def check_basic(board: Board, headers: dict[str, str]) -> None:
    """OAuth calls carry "Basic base64(id:secret)"; the secret of the one local client is the board's
    token.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    try:
        secret = base64.b64decode(given, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        secret = ""
    if scheme.lower() != "basic" or secret != board.config.token:
        raise OAuthError(
            401,
            "invalid_client",
            "The client id or secret is wrong.",
            headers={"www-authenticate": 'Basic realm="OAuth"'},
        )


_token = shapes.obj({"token": shapes.string()}, ("token",))


def oauth_token(call: Call) -> dict[str, Any]:
    """POST /v1/oauth/token: no authorisation code or refresh token was ever given out, so none is valid."""
    fields = dict.fromkeys(("code", "redirect_uri", "external_account", "refresh_token"), shapes.anything)
    kinds = shapes.enum("authorization_code", "refresh_token")
    shapes.check_body(call.body, shapes.obj({"grant_type": kinds, **fields}, ("grant_type",)))
    raise OAuthError(400, "invalid_grant", "The code is not valid.")


def oauth_introspect(call: Call) -> dict[str, Any]:
    """POST /v1/oauth/introspect: whether a token is let in."""
    shapes.check_body(call.body, _token)
    if call.body["token"] != call.board.config.token:
        return {"active": False}
    root = call.db.execute("SELECT created FROM page WHERE id = ?", (call.board.root_page,)).fetchone()
    return {"active": True, "scope": SCOPE, "iat": root["created"]}


def oauth_revoke(call: Call) -> dict[str, Any]:
    """POST /v1/oauth/revoke: the board's only token cannot be taken back; any other is invalid already."""
    shapes.check_body(call.body, _token)
    if call.body["token"] == call.board.config.token:
        raise not_served("revoking the board's only token")
    return {}
