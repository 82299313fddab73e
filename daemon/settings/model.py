"""Every setting: type, unit, default and the reason for it. docs/settings.md and the file that ``init``
writes are generated from here.

Frozen msgspec structs: a tenth of pydantic's import time and memory, strict types, constraints and
descriptions in one annotation.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from daemon.core.status import Status

Seconds = Annotated[float, Meta(ge=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections."""


PROPERTY_KEYS = (
    "title",
    "status",
    "priority",
    "description",
    "handler",
    "agent",
    "task_type",
    "url",
    "parameters",
    "next_step",
    "acceptance",
    "due",
    "after",
    "claim",
    "why",
    "result",
    "report",
    "attempts",
    "source_key",
    "schedule",
    "number",
)  # fmt: skip - the keys of the board's schema as contract.md §3 lists them, in its order
"""What may stand in ``[board.properties]``."""


class StoreSettings(Section, frozen=True, kw_only=True):
    """Where runs, decisions and evidence are kept."""

    url: Annotated[
        str,
        Meta(
            description="SQLAlchemy URL. Empty = SQLite, state.db in the home folder. "
            "postgresql+psycopg://… lets several hosts share one store."
        ),
    ] = ""
    retention: Annotated[
        int, Meta(ge=1, description="Days that ended runs, their steps and events are kept.")
    ] = 90


class BoardSettings(Section, frozen=True, kw_only=True):
    """The Agent-Tasks database."""

    base_url: Annotated[str, Meta(description="Address of the API, without /v1. Stand-ins and tests.")] = (
        "https://api.notion.com"
    )
    version: Annotated[
        Literal["2025-09-03", "2026-03-11"], Meta(description="Notion-Version header that is sent.")
    ] = "2025-09-03"
    database_id: Annotated[str, Meta(description="Agent-Tasks database: id or URL.")] = ""
    data_source_id: Annotated[
        str, Meta(description="Needed only when the database has more than one data source.")
    ] = ""
    tracks_database_id: Annotated[str, Meta(description="Tracks database of the music sync: id or URL.")] = ""
    tracks_properties: Annotated[
        dict[str, str],
        Meta(
            description="Key of the Tracks database → name of its property, where it is none of the usual "
            "ones (docs/music.md). Empty name = leave it alone."
        ),
    ] = {}
    agents_database_id: Annotated[
        str, Meta(description="Agents database, to read an Assigned-Agent relation's titles.")
    ] = ""
    rate_limit: Annotated[
        int,
        Meta(
            ge=1,
            description="Calls a minute for the token: 180 on every plan, 600 on Business/Enterprise. Hosts "
            "of one store divide it by themselves.",
        ),
    ] = 180
    timeout: Annotated[float, Meta(gt=0, description="Seconds for one call, answer included.")] = 30.0
    give_up: Annotated[
        float,
        Meta(gt=0, description="Seconds that one operation may spend on retries before its caller is told."),
    ] = 120.0
    proxy: Annotated[
        str,
        Meta(
            description="Proxy for calls to the board, as in http://127.0.0.1:3128. Empty = none; "
            "HTTPS_PROXY and the like are not used.",
            pattern=r"^(https?://[^/?#@\s]+)?/?$",
        ),
    ] = ""
    properties: Annotated[
        dict[str, str],
        Meta(
            description="Key of the schema → name of the property on your board.",
            extra={"keys": PROPERTY_KEYS},
        ),
    ] = {}
    status: Annotated[
        dict[str, str],
        Meta(
            description='Canonical status → its name on your board: Completed = "Done".',
            extra={"keys": tuple(s.value for s in Status)},
        ),
    ] = {}


class PollSettings(Section, frozen=True, kw_only=True):
    """How often the board is read."""

    interval: Annotated[float, Meta(gt=0, description="Seconds between two looks at the board.")] = 30.0
    jitter: Annotated[
        Seconds, Meta(description="Random extra seconds, so that many daemons do not ask at once.")
    ] = 5.0


class ClaimSettings(Section, frozen=True, kw_only=True):
    """How a task is claimed."""

    mode: Annotated[
        Literal["store", "verify"],
        Meta(
            description="store: the store's unique row decides. verify: for daemons with a common board only."
            " See docs/claims.md."
        ),
    ] = "store"
    settle: Annotated[
        Seconds,
        Meta(
            description="verify: seconds before a claim is read back; equal in all daemons, > call_timeout."
        ),
    ] = 6.0
    rest: Annotated[
        Seconds,
        Meta(
            description="Seconds that no person may have edited a row before it is claimed, so that none is "
            "taken half-typed. Rows that the API made or changed do not wait. 0 = off."
        ),
    ] = 20.0
    call_timeout: Annotated[
        float,
        Meta(gt=0, description="verify: seconds for reading a page and claiming it; equal in all daemons."),
    ] = 4.0


class RunSettings(Section, frozen=True, kw_only=True):
    """How tasks are run."""

    concurrency: Annotated[int, Meta(ge=1, description="Tasks at the same time on this host.")] = 2
    attempts: Annotated[int, Meta(ge=1, description="Attempts before a task is parked as Failed.")] = 3
    crashes: Annotated[
        int,
        Meta(
            ge=1,
            description="Times in a row that the daemon may die over a task, no step finished between, until "
            "it is parked as Failed.",
        ),
    ] = 3
    backoff: Annotated[Seconds, Meta(description="Seconds before the second attempt; doubles each time.")] = (
        10.0
    )
    backoff_max: Annotated[Seconds, Meta(description="Longest wait between two attempts, seconds.")] = 300.0
    ageing: Annotated[
        Seconds,
        Meta(
            description="Hours of waiting for a free place that lift a task by one priority class: no task "
            "waits for ever. 0 = priorities are strict."
        ),
    ] = 4.0
    breaker_after: Annotated[
        int,
        Meta(
            ge=0,
            description="Attempts of one handler, over three tasks or more, that fail in a row until it is "
            "paused. 0 = never.",
        ),
    ] = 8
    breaker_pause: Annotated[
        float,
        Meta(
            gt=0, description="Seconds of the first pause; doubles each time that the trial after it fails."
        ),
    ] = 60.0
    breaker_max: Annotated[float, Meta(gt=0, description="Longest pause of a handler, seconds.")] = 3600.0
    follow_up_depth: Annotated[
        int, Meta(ge=0, description="How many tasks in a chain may each have been made by the one before.")
    ] = 3
    follow_ups: Annotated[int, Meta(ge=0, description="Tasks that one attempt may make.")] = 500
    follow_up_family: Annotated[
        int, Meta(ge=0, description="Tasks that may come of one first task, over the whole chain.")
    ] = 1000
    stall: Annotated[
        Seconds,
        Meta(
            description="Seconds without a step or progress and without output or CPU time of its processes "
            "after which an attempt is stopped and tried again. 0 = never."
        ),
    ] = 600.0
    lease: Annotated[float, Meta(gt=0, description="Seconds that a claim lasts without a beat.")] = 900.0
    drain: Annotated[
        Seconds,
        Meta(description="Seconds that a stop waits for running tasks; what is left resumes at start."),
    ] = 20.0


class HostSettings(Section, frozen=True, kw_only=True):
    """This machine's part."""

    name: Annotated[
        str, Meta(description="Name in claims and on the dashboard. Empty = the host's name.")
    ] = ""
    handlers: Annotated[tuple[str, ...], Meta(description="Handlers served here. Empty = all.")] = ()
    lease: Annotated[
        float,
        Meta(
            ge=1,
            description="Several hosts on one store: seconds of silence after which another host may "
            "take over. A beat is a tenth of it.",
        ),
    ] = 20.0
    volumes: Annotated[
        dict[str, str],
        Meta(description="Name → folder. The host offers a volume while its folder is there and not empty."),
    ] = {}
    needs: Annotated[
        dict[str, tuple[str, ...]],
        Meta(description="Handler → volumes that its tasks need; a host without one leaves them to others."),
    ] = {}


class RouteSettings(Section, frozen=True, kw_only=True):
    """One routing rule, in order: when ``field`` has one of ``words`` as a whole word → ``handler``."""

    handler: Annotated[str, Meta(description="Handler that gets the task.")]
    field: Annotated[
        Literal["title", "description", "task_type", "next_step", "agent", "url"],
        Meta(description="What the words are looked for in."),
    ]
    words: Annotated[
        tuple[str, ...], Meta(min_length=1, description="One of them is enough; case is ignored.")
    ]
    name: Annotated[str, Meta(description="Name of the rule in Why lines and events.")] = ""


class ReportSettings(Section, frozen=True, kw_only=True):
    """Reports and their templates."""

    folder: Annotated[
        str, Meta(description="Folder of the reports. Empty = reports/ in the home folder.")
    ] = ""
    templates: Annotated[
        str, Meta(description="Folder whose templates override ours by name. Empty = none.")
    ] = ""
    documents: Annotated[
        str,
        Meta(
            description="Folder of your status documents (docs/reports.md). Empty = docs/ in the home folder."
        ),
    ] = ""
    retention: Annotated[int, Meta(ge=1, description="Days that reports are kept.")] = 365


class PathSettings(Section, frozen=True, kw_only=True):
    """What should not lie in the home folder. A relative path is meant from the home folder."""

    board_db: Annotated[str, Meta(description="File of the local board. Empty = board.db.")] = ""
    logs: Annotated[
        str, Meta(description="Folder of the logs that launchd keeps (systemd: the journal). Empty = logs/.")
    ] = ""
    work: Annotated[
        str, Meta(description="Folder of what runs have in work; must be on a disk with room. Empty = work/.")
    ] = ""


class TaskTemplate(Section, frozen=True, kw_only=True):
    """The task that a schedule creates."""

    title: Annotated[str, Meta(min_length=1, description="Title of the page.")]
    handler: Annotated[str, Meta(description="Empty = the routes decide.")] = ""
    agent: Annotated[str, Meta(description="Assigned agent, for a handoff.")] = ""
    priority: Annotated[
        Literal["Critical", "High", "Medium", "Low"], Meta(description="Priority of the page.")
    ] = "Medium"
    url: Annotated[str, Meta(description="Input of a music sync.")] = ""
    description: Annotated[str, Meta(description="Text of the Description property.")] = ""
    parameters: Annotated[str, Meta(description="TOML lines key = value, typed by the handler.")] = ""
    acceptance: Annotated[tuple[str, ...], Meta(description="Success criteria, one an entry.")] = ()


class ScheduleSettings(Section, frozen=True, kw_only=True):
    """A task made by the clock."""

    cron: Annotated[str, Meta(description="Five fields: minute hour day month weekday.")]
    task: Annotated[TaskTemplate, Meta(description="The task to create.")]
    timezone: Annotated[str, Meta(description="IANA name. Empty = the machine's zone.")] = ""
    catch_up: Annotated[
        Seconds, Meta(description="A slot missed by no more than this (s) is run late, once; older: skipped.")
    ] = 3600.0
    overlap: Annotated[
        Literal["skip", "queue"],
        Meta(description="skip: no new task while the last one of this schedule is open."),
    ] = "skip"


class WebSettings(Section, frozen=True, kw_only=True):
    """Dashboard, API, metrics, webhooks."""

    enabled: Annotated[bool, Meta(description="false: no port is opened.")] = True
    host: Annotated[str, Meta(description="Anything but a loopback address needs the secret web_token.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="0 = any free port.")] = 8787


class LogSettings(Section, frozen=True, kw_only=True):
    """Logs go to stdout, one event a line."""

    format: Annotated[
        Literal["auto", "console", "json"], Meta(description="auto: console on a terminal, else JSON.")
    ] = "auto"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Lowest level that is written.")
    ] = "info"


class SpotifySettings(Section, frozen=True, kw_only=True):
    """Spotify."""

    base_url: Annotated[str, Meta(description="Address of a stand-in for tests. Empty = Spotify itself.")] = (
        ""
    )


class EagleSettings(Section, frozen=True, kw_only=True):
    """Eagle."""

    base_url: Annotated[str, Meta(description="Address of the app's API; it listens on this port.")] = (
        "http://127.0.0.1:41595"
    )


class Settings(Section, frozen=True, kw_only=True):
    """The whole file, less the sections that handlers declare for themselves (``sections``)."""

    store: StoreSettings = StoreSettings()
    board: BoardSettings = BoardSettings()
    poll: PollSettings = PollSettings()
    claim: ClaimSettings = ClaimSettings()
    run: RunSettings = RunSettings()
    host: HostSettings = HostSettings()
    routes: tuple[RouteSettings, ...] = ()
    reports: ReportSettings = ReportSettings()
    paths: PathSettings = PathSettings()
    schedules: dict[str, ScheduleSettings] = {}
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    spotify: SpotifySettings = SpotifySettings()
    eagle: EagleSettings = EagleSettings()
