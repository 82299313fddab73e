"""The web room: dashboard, JSON API, live events, health, metrics and webhooks on one port.

Cheap to import: Starlette and uvicorn are loaded by ``WebServer.start``. docs/http.md is its reference.
"""

from daemon.web.parts import WebParts
from daemon.web.server import WebServer

__all__ = ["WebParts", "WebServer"]
