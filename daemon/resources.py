"""Where the files that ship with the code are: templates, unit files, the launchd plist.

A wheel carries them below ``daemon/_data`` (pyproject.toml, force-include). An editable install and a
checkout do not get that folder, so there they are read from the root of the repository.
"""

from __future__ import annotations

from pathlib import Path

from daemon.core.errors import NotFound

_PACKAGE = Path(__file__).resolve().parent


def templates() -> Path:
    """Folder of the templates (``reports/``, ``status_docs/``, ``handoffs/``, ``web/``)."""
    return _find("templates")


def systemd() -> Path:
    """Folder of the systemd units."""
    return _find("systemd")


def launchd() -> Path:
    """Folder of the launchd plist."""
    return _find("launchd")


def _find(name: str, package: Path = _PACKAGE) -> Path:
    """The folder ``name`` inside the installed package, else beside it. NotFound when neither is there."""
    places = (package / "_data" / name, package.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise NotFound(
        f"the folder {name}/ that ships with handoffd is in neither place: {places[0]}, {places[1]}",
        hint="install handoffd again",
    )
