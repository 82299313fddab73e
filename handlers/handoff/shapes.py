"""The JSON Schemas of the documents, made from their types; ``schemas/`` holds them as shipped files."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.handoff.model import Ack, Doc, Packet, Question, Receipt, Refusal, Return

SCHEMAS: dict[str, type[Doc]] = {
    "handoff-1": Packet,
    "ack-1": Ack,
    "question-1": Question,
    "refuse-1": Refusal,
    "return-1": Return,
    "receipt-1": Receipt,
}
"""File name below schemas/ (without .schema.json) → type."""


def schema_text(name: str) -> str:
    """The JSON Schema (2020-12) of one document as the shipped file holds it."""
    kind = SCHEMAS[name]
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"handoffd:{name.replace('-', '/')}",
        **msgspec.json.schema(kind),
    }
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2).decode() + "\n"
