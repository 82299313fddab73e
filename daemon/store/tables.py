"""The tables. Times are epoch seconds (UTC); ids are ours, 32 hex digits or run ids."""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA_VERSION = 1

metadata = sa.MetaData()

meta = sa.Table(
    "handoffd_meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

runs = sa.Table(
    "handoffd_runs",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("handler", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("workflow", sa.Text, nullable=False, server_default=""),
    sa.Column("claim", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("page", sa.JSON, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("ended", sa.Float),
    sa.Column("outcome", sa.Text, nullable=False, server_default=""),
    sa.Column("summary", sa.Text, nullable=False, server_default=""),
    sa.Column("why", sa.Text, nullable=False, server_default=""),
    sa.Column("report", sa.Text, nullable=False, server_default=""),
    sa.Column("retry_at", sa.Float),
    sa.Column("wait_for", sa.Text, nullable=False, server_default=""),
    sa.Column("look_again", sa.Float),
    sa.Column("progress", sa.JSON),
    sa.Column("verdict", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("task", "generation"),
    sa.Index("handoffd_runs_state", "state", "started"),
    sa.Index("handoffd_runs_handler", "handler", "started"),
    sa.Index("handoffd_runs_started", "started"),
)

stretches = sa.Table(
    "handoffd_stretches",
    metadata,
    sa.Column("stretch", sa.Text, primary_key=True),
    sa.Column("steps", sa.Integer, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False),
    sa.Column("began", sa.Float, nullable=False),
)

steps = sa.Table(
    "handoffd_steps",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("ended", sa.Float),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
)

evidence = sa.Table(
    "handoffd_evidence",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("gate", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("ok", sa.Boolean),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

gates = sa.Table(
    "handoffd_gates",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("part", sa.Text, nullable=False),
    sa.Column("required", sa.Boolean, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
)

marks = sa.Table(
    "handoffd_marks",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("handler", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("fault", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("ended", sa.Float, nullable=False),
    sa.Index("handoffd_marks_handler", "handler", "ended"),
)
"""What each ended attempt says of its handler: all that the breaker reads."""

decisions = sa.Table(
    "handoffd_decisions",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("gate", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("would_change", sa.Text, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("next_look", sa.Float),
    sa.Column("handler", sa.Text, nullable=False),
    sa.Column("on_page", sa.Boolean, nullable=False),
)

events = sa.Table(
    "handoffd_events",
    metadata,
    # AUTOINCREMENT: a reader that follows by id must never meet a reused one.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False, server_default=""),
    sa.Column("run", sa.Text, nullable=False, server_default=""),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Index("handoffd_events_task", "task"),
    sqlite_autoincrement=True,
)

occurrences = sa.Table(
    "handoffd_occurrences",
    metadata,
    sa.Column("schedule", sa.Text, primary_key=True),
    sa.Column("slot", sa.Float, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("at", sa.Float, nullable=False),
)

keys = sa.Table(
    "handoffd_keys",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False, server_default=""),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("priority", sa.Text, nullable=False),
    sa.Column("handler", sa.Text, nullable=False),
    sa.Column("created", sa.Boolean, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

# Tables of a fleet. New tables are made beside the old ones, so hosts of an older version go on meanwhile:
# a change here that an older version can't live with must raise SCHEMA_VERSION.

hosts = sa.Table(
    "handoffd_hosts",
    metadata,
    sa.Column("executor", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("boot", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("lease", sa.Float, nullable=False),
    sa.Column("joined", sa.Float, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("gone", sa.Text, nullable=False, server_default=""),
    sa.Column("handlers", sa.JSON, nullable=False),
    sa.Column("offers", sa.JSON, nullable=False),
    sa.UniqueConstraint("name"),
    sa.Index("handoffd_hosts_seen", "seen"),
)

takeovers = sa.Table(
    "handoffd_takeovers",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("from_host", sa.Text, nullable=False),
    sa.Column("from_boot", sa.Text, nullable=False),
    sa.Column("to_host", sa.Text, nullable=False),
    sa.Column("fate", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

shares = sa.Table(
    "handoffd_shares",
    metadata,
    sa.Column("executor", sa.Text, primary_key=True),
    sa.Column("budget", sa.Text, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
    sa.Index("handoffd_shares_budget", "budget"),
)
"""Of one token's calls a minute, what each host may use: written only when it changes."""
