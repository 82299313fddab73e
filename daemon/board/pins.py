"""Pinned ids that outlive the process: which property and which status option each key meant last time.

A name in the settings is looked up once; after that the id decides, also when the property was renamed while
no daemon ran. A pin counts only while the settings ask for the same name as when it was made: a changed
setting is a person's word and goes before it.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.board.columns import SPECS
from daemon.board.schema import Binding, Column
from daemon.core.errors import ConfigError, PermanentError
from daemon.core.status import Status

FORMAT = 1


class PinFile:
    """A JSON file, one entry for each data source. Replaced as a whole, so a reader never sees half of it.

    ``file`` lies in the home folder; it is made at the first ``keep``.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def recall(
        self, source: str, names: Mapping[str, str], status_names: Mapping[str, str]
    ) -> Binding | None:
        """What was pinned for a data source (32 hex) and is still asked for by the same names; None when
        nothing is. The result is for ``schema.bind`` only: its columns have no types.

        Raises ConfigError when the file is not what ``keep`` wrote.
        """
        entry = self._read().get(source)
        if entry is None:
            return None
        try:
            return _binding(entry, names, status_names)
        except (KeyError, TypeError, AttributeError) as error:
            raise self._broken(f"{type(error).__name__}: {error}") from error

    def keep(
        self, source: str, binding: Binding, names: Mapping[str, str], status_names: Mapping[str, str]
    ) -> None:
        """Pin a binding. Nothing is written when it is pinned already. PermanentError: can't be written."""
        entry = _entry(binding, names, status_names)
        with self._lock:
            known = self._read()
            if known.get(source) == entry:
                return
            known[source] = entry
            try:
                self._write({"format": FORMAT, "sources": known})
            except OSError as error:
                raise PermanentError(
                    f"{self._file} can't be written: {error.strerror}", hint="make room, or chown the folder"
                ) from error

    def _read(self) -> dict[str, Any]:
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise self._broken(str(error)) from error
        try:
            found = json.loads(text)
        except ValueError as error:
            raise self._broken(str(error)) from error
        sources = found.get("sources") if isinstance(found, dict) else None
        if not isinstance(sources, dict) or found.get("format") != FORMAT:
            raise self._broken("not in the format of this version")
        return sources

    def _broken(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self._file}, which holds the pinned property ids, can't be read: {why}",
            hint="remove it: properties are then bound by their names in the settings once more",
        )

    def _write(self, content: Mapping[str, Any]) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".pins-", dir=self._file.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(content, out, indent=1, sort_keys=True)
                out.flush()
                os.fsync(out.fileno())
            Path(name).replace(self._file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _asked(key: str, names: Mapping[str, str]) -> str:
    return names.get(key) or SPECS[key].name


def _entry(binding: Binding, names: Mapping[str, str], status_names: Mapping[str, str]) -> dict[str, Any]:
    options = binding.columns["status"].options
    return {
        "properties": {
            key: {"id": column.id, "name": column.name, "asked": _asked(key, names)}
            for key, column in binding.columns.items()
        },
        "statuses": {
            status.value: {
                "id": option,
                "name": options[option],
                "asked": status_names.get(status.value, status.value),
            }
            for status, option in binding.statuses.items()
        },
    }


def _binding(
    entry: Mapping[str, Any], names: Mapping[str, str], status_names: Mapping[str, str]
) -> Binding | None:
    statuses: dict[Status, str] = {}
    options: dict[str, str] = {}
    for status in Status:
        pin = entry["statuses"].get(status.value)
        if pin is not None and pin["asked"] == status_names.get(status.value, status.value):
            statuses[status] = str(pin["id"])
            options[str(pin["id"])] = str(pin["name"])
    pins = entry["properties"]
    columns = {
        key: Column(
            key=key,
            id=str(pins[key]["id"]),
            name=str(pins[key]["name"]),
            type="",
            options=options if key == "status" else {},
        )
        for key in SPECS
        if key in pins and pins[key]["asked"] == _asked(key, names)
    }
    if "status" not in columns:  # option ids are of use only together with their property
        statuses = {}
    return Binding(columns=columns, statuses=statuses, missing=()) if columns else None
