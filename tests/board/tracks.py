"""A Tracks database as boards have it: names from research/incumbent.md §3.5, made over the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daemon.core import ids
from daemon.local_board import DEFAULT_ROOT_PAGE

STAGES = (
    "Format Conversion Complete",
    "Files Imported to Eagle",
    "Error Occurred During Processing",
    "SC_404",
)
SCHEMA: dict[str, Any] = {
    "Title": {"title": {}},
    "Artist Name": {"rich_text": {}},
    "Album": {"rich_text": {}},
    "Genre": {"select": {"options": [{"name": "House"}]}},
    "Track ISRC": {"rich_text": {}},
    "Spotify ID": {"rich_text": {}},
    "handoffd Track": {"rich_text": {}},
    "SoundCloud URL": {"url": {}},
    "YouTube URL": {"url": {}},
    "Source URL": {"url": {}},
    "DL": {"checkbox": {}},
    "Audio Processing": {"multi_select": {"options": [{"name": n} for n in (*STAGES, "My own mark")]}},
    "Error": {"rich_text": {}},
    "M4A File Path": {"rich_text": {}},
    "AIFF Path": {"rich_text": {}},
    "WAV": {"rich_text": {}},
    "Duration (s)": {"number": {}},
    "BPM": {"number": {}},
    "Key ": {"rich_text": {}},
}

Hand = Callable[..., dict[str, Any]]


def create(hand: Hand, schema: dict[str, Any] = SCHEMA) -> tuple[str, str]:
    """A new Tracks database below the root page; its id and its data source's."""
    made = hand(
        "POST",
        "databases",
        {
            "parent": {"type": "page_id", "page_id": DEFAULT_ROOT_PAGE},
            "title": [{"type": "text", "text": {"content": "Tracks"}}],
            "initial_data_source": {"properties": schema},
        },
    )
    return ids.normalise(made["id"]), ids.normalise(made["data_sources"][0]["id"])


def row(hand: Hand, source: str, title: str, **properties: Any) -> str:
    """A row made by a person. Texts, numbers, truth values and lists of options go by the schema's type."""
    values = {"Title": {"title": [{"text": {"content": title}}]}}
    for name, value in properties.items():
        real = name.replace("_", " ")
        (kind,) = SCHEMA[real]
        values[real] = {kind: value}
        if kind == "rich_text":
            values[real] = {kind: [{"text": {"content": value}}]}
        elif kind == "multi_select":
            values[real] = {kind: [{"name": n} for n in value]}
    parent = {"type": "data_source_id", "data_source_id": ids.dashed(source)}
    return ids.normalise(hand("POST", "pages", {"parent": parent, "properties": values})["id"])


def count(hand: Hand, source: str) -> int:
    """How many rows there are."""
    return len(hand("POST", f"data_sources/{ids.dashed(source)}/query", {"page_size": 100})["results"])
