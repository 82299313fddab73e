"""What other programs rely on to the letter: commands, flags, JSON shapes, settings, files, make targets.

The tables here are the contract itself. Adding to the product needs no change; a test that fails means that
somebody's script breaks.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from daemon.cli.app import root
from daemon.core.errors import ConfigError, ExitCode
from daemon.core.status import Status
from daemon.settings import load
from daemon.settings.model import PROPERTY_KEYS
from daemon.settings.secrets import NAMES
from daemon.wiring import with_handlers

ROOT = Path(__file__).parents[2]


def words(text: str) -> list[str]:
    return text.split()


COMMANDS = {
    "run": "--once --no-web",
    "demo": "--json",
    "init": "--create",
    "doctor": "--json",
    "task add": "title --handler --agent --priority --status --url --description --criteria --param --after "
    "--json",
    "task list": "--status --json",
    "task show": "id --json",
    "task retry": "id",
    "task cancel": "id",
    "task set": "id --status",
    "why": "id --json",
    "runs list": "--json",
    "runs show": "run --json",
    "events": "--task --follow --json",
    "board serve": "--host --port --db --token --root-page --rate-limit --now --json",
    "handoff list": "",
    "handoff show": "packet",
    "handoff ack": "packet",
    "handoff beat": "packet",
    "handoff ask": "packet",
    "handoff return": "packet",
    "handoff refuse": "packet",
    "handoff verify-receipt": "path",
    "mcp": "",
    "music sync": "--url --source --dry-run --json",
    "music library scan": "",
    "music library verify": "",
    "music library dedup-plan": "",
    "music library dedup-apply": "plan",
    "report render": "run --format",
    "report list": "",
    "report digest": "--since",
    "schedule list": "--json",
    "simulate": "--days --seed --scenario",
    "service install": "--user --system --dry-run",
    "service uninstall": "--user --system --dry-run",
    "service status": "--user --system",
    "config show": "--json",
}

EXIT_CODES = {0, 1, 2, 69, 70, 73, 75, 77, 78}

SETTINGS = words("""
store.url board.base_url board.database_id board.data_source_id board.tracks_database_id
board.agents_database_id board.properties board.status board.rate_limit poll.interval poll.jitter claim.mode
claim.settle claim.call_timeout run.concurrency run.attempts run.lease host.name host.handlers routes
music.output music.backup music.formats music.layout music.sources music.allow_hosts reports.folder
reports.retention web.enabled web.host web.port log.format log.level spotify.base_url eagle.base_url
""")

SECRETS = words("""
notion_token notion_webhook_secret spotify_client_id spotify_client_secret spotify_refresh_token eagle_token
web_token
""")

SCHEMA = words("""
title status priority description handler agent task_type url parameters next_step acceptance due after claim
why result report attempts source_key schedule number
""")

STATUSES = words("""
Draft Planning Ready In_Progress Completed Failed Blocked Review Waiting Cancelled Archived
""")

TARGETS = words("install run demo test check bench test-faults clean")

TASK = set(words("id title status handler agent priority why result report attempts url runs"))
WHY = set(words("id verdict gate since would_change next_look at"))
RUN = set(words("run task handler generation host state started ended steps gates files"))


def command(path: str) -> click.Command:
    found: click.Command = root
    for word in path.split():
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), word)
        assert inner is not None, f"there is no `handoffd {path}`"
        found = inner
    return found


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_its_flags_and_arguments(path: str) -> None:
    found = command(path)
    given: set[str] = set()
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            given |= {*parameter.opts, *parameter.secondary_opts}
        else:
            given.add((parameter.metavar or parameter.name or "").lower())
    assert set(COMMANDS[path].split()) <= given
    assert "--home" in given
    assert found.help


def test_arguments_are_few_and_the_rest_may_be_left_out() -> None:
    needed = {
        path: {p.name for p in command(path).params if p.required and isinstance(p, click.Option)}
        for path in COMMANDS
    }
    assert {path: names for path, names in needed.items() if names} == {
        "task set": {"status"},
        "handoff ack": {"agent", "understood"},
        "handoff ask": {"need"},
        "handoff refuse": {"code", "reason"},
    }


def test_defaults_of_the_local_server() -> None:
    defaults = {p.name: p.default for p in command("board serve").params}
    assert defaults["host"] == "127.0.0.1"
    assert defaults["port"] == 8788
    assert defaults["root_page"] == "95ba0116-6776-4c19-9e45-54e77415f03b"


def test_exit_codes() -> None:
    assert {c.value for c in ExitCode} == EXIT_CODES


def test_settings_secrets_schema_and_statuses(tmp_path: Path) -> None:
    shown = {row["key"] for row in handoffd(tmp_path, "config", "show", "--json")["settings"]}
    for key in SETTINGS:
        assert key in shown or any(k.startswith(f"{key}.") for k in shown), key
    assert set(SECRETS) <= set(NAMES)
    assert set(SCHEMA) <= set(PROPERTY_KEYS)
    assert {s.replace("_", " ") for s in STATUSES} <= {s.value for s in Status}


def test_agents_and_schedules_have_their_keys(tmp_path: Path) -> None:
    (tmp_path / "handoffd.toml").write_text(
        '[agents.scribe]\ninbox = "in"\nrendering = "plain"\nlaunch = ["true"]\ntime_limit = 5\n'
        'silence_limit = 5\n[schedules.nightly]\ncron = "0 3 * * *"\ntimezone = "Europe/Berlin"\n'
        'task = {title = "Digest", handler = "report"}\n'
        '[[routes]]\nhandler = "report"\nfield = "title"\nwords = ["digest"]\n'
    )
    loaded, _ = with_handlers(load(home=tmp_path, env={}))
    values = {key: value for key, value, _ in loaded.entries()}
    for key, value in {
        "agents.scribe.inbox": "in",
        "agents.scribe.rendering": "plain",
        "agents.scribe.launch": ("true",),
        "agents.scribe.time_limit": 5,
        "agents.scribe.silence_limit": 5,
        "schedules.nightly.cron": "0 3 * * *",
        "schedules.nightly.timezone": "Europe/Berlin",
        "schedules.nightly.task.title": "Digest",
        "schedules.nightly.task.handler": "report",
    }.items():
        assert values[key] == value, key
    (route,) = loaded.settings.routes
    assert (route.handler, route.field, list(route.words)) == ("report", "title", ["digest"])


@pytest.mark.parametrize(
    "section",
    [
        '[agents.scribe]\ninbox = "in"',
        '[schedules.nightly]\ncron = "0 3 * * *"\ntask = {title = "Digest"}',
        '[[routes]]\nhandler = "report"\nfield = "title"\nwords = ["digest"]',
    ],
)
def test_what_they_have_no_key_for_is_refused_by_name(tmp_path: Path, section: str) -> None:
    (tmp_path / "handoffd.toml").write_text(section)
    with_handlers(load(home=tmp_path, env={}))
    (tmp_path / "handoffd.toml").write_text(f"{section}\nunheard_of = 1\n")
    with pytest.raises(ConfigError) as refused:
        with_handlers(load(home=tmp_path, env={}))
    assert "unheard_of" in str(refused.value.one_line())


def test_make_targets_need_nothing_else() -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGETS) <= made


def handoffd(home: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "--home", str(home), *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_shapes_of_a_demo_and_of_all_that_tells_of_it(tmp_path: Path) -> None:
    demo = handoffd(tmp_path, "demo", "--json")
    assert set(demo) >= {"ok", "home", "tasks"}
    assert demo["ok"] is True and Path(demo["home"]) == tmp_path
    assert {t["handler"] for t in demo["tasks"]} == {"music-sync", "handoff", "report"}
    for told in demo["tasks"]:
        assert set(told) >= {"id", "title", "handler", "status", "run", "report", "files", "gates"}
        assert told["status"] == "Completed"
        assert {g["result"] for g in told["gates"]} <= {"passed", "failed", "unknown", "not_applicable"}
        assert all(Path(f if isinstance(f, str) else f["path"]).is_file() for f in told["files"])
        assert re.fullmatch(r"[0-9a-f]{32}\.g1", told["run"])
    home = tmp_path / "reports"
    for report in home.glob("*/*/*/"):
        name = r"\d{8}T\d{6}Z--[a-z0-9-]{1,40}--[0-9a-f]{32}\.g1"
        assert re.fullmatch(rf"\d{{4}}/\d{{2}}/{name}", str(report.relative_to(home)))
        assert {p.name for p in report.iterdir()} == {"report.md", "report.html", "evidence.json"}
    assert (home / "index.html").is_file()

    tasks = handoffd(tmp_path, "task", "list", "--json")
    assert len(tasks) == 3 and all(set(t) >= TASK for t in tasks)
    music = next(t for t in demo["tasks"] if t["handler"] == "music-sync")
    shown = handoffd(tmp_path, "task", "show", music["id"], "--json")
    assert set(shown) >= TASK and shown["runs"] == [music["run"]]
    assert set(handoffd(tmp_path, "why", music["id"], "--json")) >= WHY
    run = handoffd(tmp_path, "runs", "show", music["run"], "--json")
    assert set(run) >= RUN
    assert all(set(s) >= {"name", "state", "attempts", "seconds"} for s in run["steps"])
    assert all(set(g) >= {"name", "result", "required", "evidence"} for g in run["gates"])
    assert all(set(f) >= {"path", "sha256", "bytes"} for f in run["files"]) and len(run["files"]) >= 4
    added = handoffd(tmp_path, "task", "add", "Later", "--status", "Draft", "--json")
    assert set(added) >= {"id", "url"}
