"""Where settings come from, which one wins, and what is said of the wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from daemon.core.errors import ConfigError, ExitCode
from daemon.settings import Loaded, changed_keys, load, reload


class Music(msgspec.Struct, frozen=True, kw_only=True):
    output: str = ""
    formats: tuple[str, ...] = ("m4a",)
    allow_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Agent:
    inbox: str
    time_limit: Annotated[float, Meta(gt=0)] = 60.0


SECTIONS: dict[str, Any] = {"music": Music, "agents": dict[str, Agent]}
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str) -> Path:
        file = tmp_path / "handoffd.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return put


def get(home: Path, env: dict[str, str] | None = None, **more: Any) -> Loaded:
    return load(home=home, env=env or {}, **more)


def problems(home: Path, env: dict[str, str] | None = None, **more: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        get(home, env, **more)
    assert caught.value.exit_code == ExitCode.CONFIG
    return caught.value.problems


def test_nothing_written_gives_the_defaults_and_the_local_board(tmp_path: Path) -> None:
    loaded = get(tmp_path, sections=SECTIONS)
    assert loaded.settings.poll.interval == 30.0
    assert loaded.sections["music"] == Music()
    assert loaded.sections["agents"] == {}
    assert loaded.local
    assert loaded.origin("poll.interval") == "default"


def test_flag_over_environment_over_file_over_default(tmp_path: Path, write: Write) -> None:
    file = write("[poll]\ninterval = 1\njitter = 1\n[web]\nport = 1\n")
    env = {"HANDOFFD_POLL__JITTER": "2", "HANDOFFD_WEB__PORT": "2"}
    loaded = get(tmp_path, env, flags={"web.port": 3})
    assert (loaded.settings.poll.interval, loaded.settings.poll.jitter, loaded.settings.web.port) == (1, 2, 3)
    assert loaded.origin("poll.interval") == f"{file}:2"
    assert loaded.origin("poll.jitter") == "HANDOFFD_POLL__JITTER"
    assert loaded.origin("web.port") == "command line"
    assert loaded.origin("web.host") == "default"


def test_the_file_is_found_as_the_contract_says(tmp_path: Path) -> None:
    named, by_variable, in_home = (tmp_path / n for n in ("a.toml", "b.toml", "h/handoffd.toml"))
    in_home.parent.mkdir()
    for port, file in enumerate((named, by_variable, in_home), 1):
        file.write_text(f"[web]\nport = {port}\n")
    env = {"HANDOFFD_HOME": str(in_home.parent), "HANDOFFD_CONFIG": str(by_variable)}
    assert load(config=named, env=env).settings.web.port == 1
    assert load(env=env).settings.web.port == 2
    assert load(env={"HANDOFFD_HOME": str(in_home.parent)}).settings.web.port == 3


def test_without_a_home_the_platform_folders_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    paths = load(env={}).paths
    assert paths.home.name == paths.config.parent.name == "handoffd"
    assert paths.state_db.parent == paths.home != paths.config.parent


def test_everything_is_below_the_home_folder_and_can_be_moved(tmp_path: Path, write: Write) -> None:
    paths = get(tmp_path).paths
    for name in ("state_db", "board_db", "agents", "reports", "docs", "music", "logs", "work", "lock"):
        assert getattr(paths, name).parent == tmp_path
    write(f'[paths]\nboard_db = "{tmp_path}/elsewhere"\nwork = "below"\nlogs = "l"\n')
    with (tmp_path / "handoffd.toml").open("a") as file:
        file.write('[reports]\nfolder = "out"\ndocuments = "status"\n')
    moved = get(tmp_path).paths
    assert (moved.board_db, moved.work, moved.logs, moved.reports, moved.docs) == (
        tmp_path / "elsewhere",
        *(tmp_path / name for name in ("below", "l", "out", "status")),
    )


def test_a_named_file_that_is_not_there_is_an_error_a_default_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no settings file"):
        load(config=tmp_path / "typo.toml", env={})
    with pytest.raises(ConfigError, match="there is no settings file"):
        load(home=tmp_path, env={"HANDOFFD_CONFIG": str(tmp_path / "typo.toml")})


@pytest.mark.parametrize(
    "content", [b"[poll", b"a = \xff\xfe", b"poll = 1\npoll = 2\n"], ids=["syntax", "not utf-8", "twice"]
)
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "handoffd.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"handoffd\.toml"):
        get(tmp_path)


def test_a_folder_instead_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "handoffd.toml").mkdir()
    with pytest.raises(ConfigError, match="can't be read"):
        get(tmp_path)


def test_all_mistakes_are_told_at_once_each_with_key_place_and_what_was_expected(
    tmp_path: Path, write: Write
) -> None:
    file = write(
        "\n".join(
            [
                "[board]",
                'database_id = "not an id"',
                "rate_limt = 3",
                'properties = { titel = "Name" }',
                "[board.status]",
                'in_progress = "Doing"',
                "[poll]",
                'interval = "fast"',
                "[claim]",
                'mode = "verfy"',
                "[musik]",
                "a = 1",
                "[agents.cursor]",
                "time_limit = 0",
            ]
        )
    )
    found = problems(tmp_path, {"HANDOFFD_POLL__JITTER": "-1"}, sections=SECTIONS)
    expected = {
        f"board.database_id: expected an id of 32 hex digits or a page URL, got 'not an id' ({file}:2)",
        f"board.rate_limt: unknown key — did you mean “rate_limit”? ({file}:3)",
        f"board.properties.titel: unknown key — did you mean “title”? ({file}:4)",
        f"board.status.in_progress: unknown key — did you mean “In Progress”? ({file}:6)",
        f"poll.interval: expected a number > 0, got 'fast' ({file}:8)",
        "poll.jitter: expected a number ≥ 0, got '-1' (HANDOFFD_POLL__JITTER)",
        f"claim.mode: expected one of: store, verify, got 'verfy' — did you mean “verify”? ({file}:10)",
        f"musik: unknown section — did you mean “music”? ({file}:11)",
        f"agents.cursor.inbox: is missing; expected text ({file}:13)",
        f"agents.cursor.time_limit: expected a number > 0, got 0 ({file}:14)",
    }
    assert set(found) == expected


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("HANDOFFD_WEB__PROT", "did you mean “port”?"),
        ("HANDOFFD_WEBB__PORT", "did you mean “web”?"),
        ("HANDOFFD_POLL_INTERVAL", "HANDOFFD_POLL__INTERVAL"),
        ("HANDOFFD_SECRETS__NOTION_TOKN", "did you mean “notion_token”?"),
        ("HANDOFFD_POLL__INTERVAL__X", "unknown key poll.interval.x"),
    ],
)
def test_a_misspelt_variable_is_not_ignored(tmp_path: Path, variable: str, says: str) -> None:
    assert says in problems(tmp_path, {variable: "1"}, sections=SECTIONS)[0]


def test_a_variable_of_another_program_is_left_alone(tmp_path: Path) -> None:
    assert get(tmp_path, {"HANDOFFD_HANDOFF_ID": "x", "OTHER": "y"}, sections=SECTIONS).origins == {}


def test_variables_are_typed_by_what_they_set(tmp_path: Path, write: Write) -> None:
    write('[agents.codex-cli]\ninbox = "in"\n')
    env = {
        "HANDOFFD_WEB__ENABLED": "false",
        "HANDOFFD_RUN__CONCURRENCY": "4",
        "HANDOFFD_HOST__HANDLERS": "music-sync, report,",
        "HANDOFFD_MUSIC__ALLOW_HOSTS": "127.0.0.1,10.0.0.0/8",
        "HANDOFFD_AGENTS__CODEX_CLI__TIME_LIMIT": "5",
        "HANDOFFD_BOARD__STATUS__IN_PROGRESS": "Doing",
        "HANDOFFD_BOARD__PROPERTIES__TITLE": "Name",
    }
    loaded = get(tmp_path, env, sections=SECTIONS)
    assert loaded.settings.web.enabled is False
    assert loaded.settings.run.concurrency == 4
    assert loaded.settings.host.handlers == ("music-sync", "report")
    assert loaded.sections["music"].allow_hosts == ("127.0.0.1", "10.0.0.0/8")
    assert loaded.sections["agents"] == {"codex-cli": Agent(inbox="in", time_limit=5)}
    assert loaded.settings.board.status == {"In Progress": "Doing"}
    assert loaded.settings.board.properties == {"title": "Name"}
    assert loaded.origin("agents.codex-cli.time_limit") == "HANDOFFD_AGENTS__CODEX_CLI__TIME_LIMIT"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_is_finite(tmp_path: Path, write: Write, value: str) -> None:
    write(f"[poll]\ninterval = {value}\n")
    assert "poll.interval" in problems(tmp_path)[0]
    write("")
    assert "poll.interval" in problems(tmp_path, {"HANDOFFD_POLL__INTERVAL": value})[0]


def test_a_section_that_nobody_knows_yet_is_kept_for_light_commands(tmp_path: Path, write: Write) -> None:
    write("[music]\nanything = 1\n")
    assert get(tmp_path).sections == {"music": {"anything": 1}}
    assert get(tmp_path, sections={}, keep_unknown=True).sections == {"music": {"anything": 1}}
    assert "unknown section" in problems(tmp_path, sections={})[0]


def test_a_handler_that_needs_a_section_nobody_wrote_stops_only_itself(tmp_path: Path) -> None:
    loaded = get(tmp_path, sections={"handlers.hello-world": Agent})
    assert loaded.sections["handlers.hello-world"] is None
    assert loaded.unset["handlers.hello-world"].startswith("handlers.hello-world.inbox: is missing")


def test_a_plugins_section_is_below_handlers(tmp_path: Path, write: Write) -> None:
    write('[handlers.hello-world]\ninbox = "x"\n')
    env = {"HANDOFFD_HANDLERS__HELLO_WORLD__TIME_LIMIT": "3"}
    loaded = get(tmp_path, env, sections={"handlers.hello-world": Agent})
    assert loaded.sections["handlers.hello-world"] == Agent(inbox="x", time_limit=3)
    assert "unknown section" in problems(tmp_path, sections={"handlers.other": Agent})[0]


def test_a_bind_that_others_can_reach_needs_a_token(tmp_path: Path) -> None:
    env = {"HANDOFFD_WEB__HOST": "0.0.0.0"}
    assert "web_token" in problems(tmp_path, env)[0]
    assert get(tmp_path, {**env, "HANDOFFD_SECRETS__WEB_TOKEN": "x" * 20}).settings.web.host == "0.0.0.0"
    assert get(tmp_path, {**env, "HANDOFFD_WEB__ENABLED": "false"}).settings.web.host == "0.0.0.0"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[claim]\nmode = "verify"\nsettle = 3', "claim.settle"),
        ("[run]\nbackoff = 10\nbackoff_max = 5", "run.backoff_max"),
        ('[host]\nname = "a b"', "host.name"),
        ('[board]\nbase_url = "ftp://x"', "board.base_url"),
        ('[web]\nhost = "example.org"', "web.host"),
        ('[schedules.n]\ncron = "0 3 *"\ntask = { title = "x" }', "schedules.n.cron"),
        (
            '[schedules.n]\ncron = "0 3 * * *"\ntimezone = "Mars/X"\ntask = { title = "x" }',
            "schedules.n.timezone",
        ),
        ('[[routes]]\nhandler = "a"\nfield = "title"\nwords = []', "routes.0.words"),
        ('[secrets]\nnotion_token = "x"', "secrets do not belong in the file"),
        ("poll = 3", "poll: expected a table"),
        ("routes = [1]", "routes.0: expected a table"),
    ],
)
def test_what_is_wrong_together_is_named(tmp_path: Path, write: Write, text: str, says: str) -> None:
    write(text)
    assert says in "\n".join(problems(tmp_path))


def test_a_password_in_a_url_is_not_repeated_in_the_message(tmp_path: Path, write: Write) -> None:
    write('[board]\nrate_limit = "postgresql://me:hunter22@db/x"')
    assert "hunter22" not in problems(tmp_path)[0]


def test_reload_reads_again_and_a_bad_file_leaves_the_last_good_one(tmp_path: Path, write: Write) -> None:
    write("[poll]\ninterval = 1\n")
    first = get(tmp_path)
    assert not first.file_changed()
    write("[poll]\ninterval = 22\n")
    assert first.file_changed()
    second = reload(first)
    assert changed_keys(first, second) == ["poll.interval"]
    write("[poll]\ninterval = 'x'\n")
    with pytest.raises(ConfigError):
        reload(second)
    assert second.settings.poll.interval == 22


def test_a_rotated_secret_is_a_change_and_is_named_without_its_value(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "notion_token").write_text("ntn_first_value\n")
    first = get(tmp_path, {"CREDENTIALS_DIRECTORY": str(folder)})
    assert not first.local
    (folder / "notion_token").write_text("ntn_second_value\n")
    second = reload(first)
    assert changed_keys(first, second) == ["secrets.notion_token"]


def test_every_setting_is_listed_once_with_its_origin(tmp_path: Path, write: Write) -> None:
    file = write(
        '[[routes]]\nhandler = "a"\nfield = "title"\nwords = ["b"]\n[board]\nproperties = {title = "N"}'
    )
    entries = list(get(tmp_path, sections=SECTIONS).entries())
    keys = [key for key, _, _ in entries]
    assert len(keys) == len(set(keys))
    assert ("routes.0.words", ["b"], f"{file}:4") in [(k, list(v), o) for k, v, o in entries if "words" in k]
    assert ("board.properties.title", "N", f"{file}:6") in entries
    assert ("music.formats", ("m4a",), "default") in entries
