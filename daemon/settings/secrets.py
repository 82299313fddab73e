"""Secrets: where they come from, and how they stay out of everything that is written.

One order, no other place is tried (the predecessor had three names for one token in four files, CF-2):
``$CREDENTIALS_DIRECTORY/<name>`` (systemd) → the keyring (service ``handoffd``) →
``HANDOFFD_SECRETS__<NAME>``, and ``NOTION_TOKEN`` as the ecosystem's custom.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

NAMES = (
    "notion_token",
    "notion_webhook_secret",
    "spotify_client_id",
    "spotify_client_secret",
    "spotify_refresh_token",
    "eagle_token",
    "web_token",
)
PREFIX = "HANDOFFD_SECRETS__"
CUSTOM = {"notion_token": "NOTION_TOKEN"}
KEYRING_SERVICE = "handoffd"
MASK = "***"


class Secret:
    """A value that shows itself only to ``reveal()``: not in repr, str, a format or a pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a secret is never pickled")


@dataclass(frozen=True, slots=True)
class Found:
    """A secret and where it was found."""

    secret: Secret
    origin: str


class Secrets(Mapping[str, Secret]):
    """The secrets that are set, by name."""

    def __init__(self, found: Mapping[str, Found]) -> None:
        self._found = dict(found)

    def __getitem__(self, name: str) -> Secret:
        return self._found[name].secret

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def origin(self, name: str) -> str:
        """Where the secret comes from, "" when it is not set."""
        return self._found[name].origin if name in self._found else ""

    def values_to_hide(self) -> tuple[str, ...]:
        """What a redactor has to look for."""
        return tuple(f.secret.reveal() for f in self._found.values())


def find(env: Mapping[str, str]) -> tuple[Secrets, list[str]]:
    """All secrets that are set, and what is wrong with those that can't be used."""
    found: dict[str, Found] = {}
    problems: list[str] = []
    ring = _Keyring()
    for name in NAMES:
        try:
            item = _credential(name, env) or ring.get(name) or _variable(name, env)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            problems.append(f"secret {name}: {error}")
            continue
        if item is not None:
            found[name] = item
    problems += ring.problems
    return Secrets(found), problems


def without_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """A copy of an environment for a child process: no secret, and no way to the credentials' folder."""
    hidden = {"CREDENTIALS_DIRECTORY", *CUSTOM.values()}
    return {k: v for k, v in env.items() if k not in hidden and not k.upper().startswith(PREFIX)}


def _credential(name: str, env: Mapping[str, str]) -> Found | None:
    folder = env.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    file = Path(folder, name)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return Found(Secret(_checked(text, str(file))), f"credential {file}")


def _variable(name: str, env: Mapping[str, str]) -> Found | None:
    for variable in (PREFIX + name.upper(), CUSTOM.get(name, "")):
        if env.get(variable, "").strip():
            return Found(Secret(_checked(env[variable], variable)), variable)
    return None


def _checked(text: str, where: str) -> str:
    value = text.strip()
    if not value:
        raise ValueError(f"{where} is empty")
    if any(c.isspace() or not c.isprintable() for c in value):
        raise ValueError(f"{where} holds blanks, line breaks or control characters: not one token")
    return value


class _Keyring:
    """The keyring, where the optional package is installed and has a safe backend."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._usable = importlib.util.find_spec("keyring") is not None

    def get(self, name: str) -> Found | None:
        if not self._usable:
            return None
        backend = importlib.import_module("keyring").get_keyring()
        home = type(backend).__module__
        if home in ("keyring.backends.fail", "keyring.backends.null"):
            self._usable = False
            return None
        if home.startswith("keyrings.alt"):
            self._usable = False
            self.problems.append(
                "keyring: the backend keyrings.alt keeps secrets in plain text and is not used; "
                "uninstall it or set PYTHON_KEYRING_BACKEND"
            )
            return None
        try:
            value = backend.get_password(KEYRING_SERVICE, name)
        except importlib.import_module("keyring.errors").KeyringError as error:
            raise ValueError(f"the keyring can't be read: {error}") from error
        return Found(Secret(_checked(value, "the keyring's entry")), "keyring") if value else None
