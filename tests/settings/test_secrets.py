"""Where secrets come from, and that they stay out of what is written."""

from __future__ import annotations

import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from daemon.core.errors import ConfigError
from daemon.settings import Redactor, Secret, load, without_secrets
from daemon.settings.secrets import NAMES, find

CANARY = "ntn_canary0123456789abcdefABCDEF"


def keyring(
    monkeypatch: pytest.MonkeyPatch, entries: dict[str, str], module: str = "keyring.backends.x"
) -> None:
    """A keyring package of the shape of the real one, which is optional and needs a desktop session."""
    backend = type("Keyring", (), {"get_password": lambda self, service, name: entries.get(name)})
    backend.__module__ = module
    package: Any = types.ModuleType("keyring")
    package.get_keyring = backend
    package.__spec__ = types.SimpleNamespace(name="keyring")
    errors: Any = types.ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "keyring", package)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)


def test_credential_then_keyring_then_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env = {"NOTION_TOKEN": "four" * 4, "HANDOFFD_SECRETS__NOTION_TOKEN": "three" * 4}
    assert _origin({"NOTION_TOKEN": "four" * 4}) == "NOTION_TOKEN"
    assert _origin(env) == "HANDOFFD_SECRETS__NOTION_TOKEN"
    keyring(monkeypatch, {"notion_token": "two" * 4})
    assert _origin(env) == "keyring"
    (tmp_path / "notion_token").write_text("one" * 4 + "\n")
    env["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    assert _origin(env) == f"credential {tmp_path / 'notion_token'}"
    assert find(env)[0]["notion_token"].reveal() == "one" * 4


def _origin(env: dict[str, str]) -> str:
    return find(env)[0].origin("notion_token")


def test_a_keyring_without_a_backend_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring(monkeypatch, {"notion_token": "never"}, "keyring.backends.fail")
    secrets, problems = find({"NOTION_TOKEN": CANARY})
    assert secrets.origin("notion_token") == "NOTION_TOKEN"
    assert problems == []


def test_a_plain_text_keyring_is_refused_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring(monkeypatch, {"notion_token": "never"}, "keyrings.alt.file")
    secrets, problems = find({})
    assert not secrets
    assert "plain text" in problems[0]


@pytest.mark.parametrize("content", ["", "  \n", "a b", "a\nb", "a\x00b"])
def test_a_credential_that_is_no_token_stops_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "notion_token").write_text(content)
    with pytest.raises(ConfigError) as caught:
        load(home=tmp_path, env={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "secret notion_token" in caught.value.problems[0]


def test_an_empty_variable_is_not_set() -> None:
    assert "notion_token" not in find({"NOTION_TOKEN": "", "HANDOFFD_SECRETS__NOTION_TOKEN": " "})[0]


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret(CANARY)
    for text in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        "{}".format(secret),  # noqa: UP032 - this spelling is what is tested
        json.dumps(str([secret])),
    ):
        assert CANARY not in text
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_loaded_settings_do_not_show_secrets(tmp_path: Path) -> None:
    loaded = load(home=tmp_path, env={"NOTION_TOKEN": CANARY})
    assert CANARY not in repr(loaded)
    assert CANARY not in str(list(loaded.entries()))


def test_children_get_no_secret() -> None:
    env = {f"HANDOFFD_SECRETS__{n.upper()}": "x" for n in NAMES}
    env |= {"NOTION_TOKEN": "x", "CREDENTIALS_DIRECTORY": "/run", "PATH": "/bin", "HANDOFFD_HOME": "/h"}
    assert without_secrets(env) == {"PATH": "/bin", "HANDOFFD_HOME": "/h"}


def test_redaction_by_value_in_every_spelling() -> None:
    hide = Redactor(["p@ss/word+1", "p@ss/word+1longer"])
    assert hide.text("a p@ss/word+1 b") == "a *** b"
    assert hide.text("a p@ss/word+1longer b") == "a *** b"
    assert hide.text("https://x/?q=p%40ss%2Fword%2B1") == "https://x/?q=***"
    hide.learn(["rotated-value"])
    assert hide.text("p@ss/word+1 rotated-value") == "*** ***"


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        "secret_" + "a1B2" * 10,
        "Authorization: Bearer abcdef.ghijkl",
        "https://x/y?access_token=abcdefghij&a=1",
        "postgresql+psycopg://me:abcdefghij@db/x",
    ],
)
def test_redaction_by_pattern(text: str) -> None:
    hidden = Redactor().text(text)
    assert "***" in hidden
    assert "abcdef" not in hidden
    assert "a1B2" not in hidden


def test_redaction_by_key_deep_inside_data() -> None:
    data = {
        "headers": [{"X-Api-Key": "v1", "Accept": "json"}],
        "web_token": "v2",
        "token_count": 3,
        "tokens": 4,
    }
    assert Redactor().value(data) == {
        "headers": [{"X-Api-Key": "***", "Accept": "json"}],
        "web_token": "***",
        "token_count": 3,
        "tokens": 4,
    }


def test_ordinary_text_is_left_as_it_is() -> None:
    text = "task 0123456789abcdef0123456789abcdef: token budget 180/min, https://a.example/b?v=abc&list=x#t=1"
    assert Redactor(["abc"]).text(text) == text
