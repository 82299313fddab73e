"""The board: Notion's API, or anything that speaks it. The only room that knows notion-client."""

from daemon.board.client import NotionBoard

__all__ = ["NotionBoard"]
