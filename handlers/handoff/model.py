"""The documents of a handoff as types: packet, acknowledgement, question, refusal, return, receipt.

One definition serves the writer, the reader and the shipped JSON Schemas (``schemas/``; a test asserts that
they are equal), so a checker can never look for a field that the generator does not write (incident HF-10).
Times in documents are ISO 8601 in UTC; durations are seconds. State words are those of the A2A protocol.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Short = Annotated[str, Meta(max_length=200)]
Text = Annotated[str, Meta(max_length=4000)]
Path_ = Annotated[str, Meta(min_length=1, max_length=1000)]
CriterionId = Annotated[str, Meta(pattern="^[A-Z][A-Z0-9]{0,7}$")]
ReturnStatus = Literal["completed", "partial", "failed", "rejected", "input_required", "no_change_needed"]
RefusalCode = Literal["wrong_agent", "underspecified", "unsafe", "out_of_scope", "duplicate_of"]
Tier = Literal["verified", "observed", "reported", "asserted", "open"]
"""How well a criterion is proved. ``open``: not met, not attempted, or nothing was claimed."""


class Doc(Struct, frozen=True, kw_only=True):
    """Base of all documents. Unknown fields are kept in the file and ignored here."""


# ------------------------------------------------------------------ handoff/1


class Lineage(Doc, frozen=True, kw_only=True):
    """Where the task comes from; follow-ups of follow-ups stop at depth 2."""

    root: str
    parent: str
    depth: Annotated[int, Meta(ge=0)]


class BoundCheck(Doc, frozen=True, kw_only=True):
    """What the daemon itself will run or look at. argv comes from the settings, never from the page."""

    use: str
    """``file`` or the name of a check in the agent's settings."""
    argv: tuple[str, ...] = ()
    path: str = ""
    contains: str = ""
    min_bytes: int = 0
    cwd: Literal["workspace", "packet"] = "workspace"
    timeout: float = 120.0
    exit: int = 0
    regex: str = ""
    env: dict[str, str] = {}
    read_only: bool = False


class Criterion(Doc, frozen=True, kw_only=True):
    """One acceptance criterion."""

    id: CriterionId
    text: str
    required: bool = True
    kind: Literal["command", "file", "human"]
    who_verifies: Literal["daemon", "human"]
    question: str = ""
    """For kind human: what a person will be asked."""
    check: BoundCheck | None = None


class Workspace(Doc, frozen=True, kw_only=True):
    """Where the work happens. Paths in ``allowed`` and ``forbidden`` are relative to ``path``."""

    path: str
    name: str
    allowed: tuple[str, ...] = (".",)
    forbidden: tuple[str, ...] = ()
    branch: str = ""
    base_commit: str = ""


class ContextFile(Doc, frozen=True, kw_only=True):
    """A file below context/."""

    path: str
    sha256: Sha256
    bytes: int
    role: str


class PriorAttempt(Doc, frozen=True, kw_only=True):
    """An earlier attempt at the same task."""

    run: str
    state: str
    result: str
    failed_gates: tuple[str, ...] = ()


class Packet(Doc, frozen=True, kw_only=True):
    """handoff.json: the canonical twin of handoff.md. Immutable once published."""

    schema: Literal["handoff/1"] = "handoff/1"
    handoff_id: Hex32
    task_id: Hex32
    run: str
    task_url: str
    attempt: int
    claim_generation: int
    claim_token: Hex32
    idempotency_key: str
    lineage: Lineage
    agent: str
    rendering: str
    routed_because: str
    priority: Annotated[int, Meta(ge=0, le=3)]
    due: str = ""
    created_at: str
    ack_by: str
    return_by: str
    escalation: tuple[str, ...] = ()
    title: str
    next_step: str = ""
    description: str = ""
    description_cut: bool = False
    next_command: str = ""
    non_goals: tuple[str, ...] = ()
    acceptance: tuple[Criterion, ...]
    workspace: Workspace
    files: tuple[ContextFile, ...] = ()
    prior_attempts: tuple[PriorAttempt, ...] = ()
    time_limit: float
    silence_limit: float
    fix_window: float
    min_evidence_bytes: int
    follow_ups_allowed: int
    nonce: Hex32
    last_editor: str = ""
    hidden_characters: int = 0
    flags: tuple[str, ...] = ()
    """Phrases in the page text that look like orders to an agent; shown, never obeyed."""
    lint_score: int = 0
    lint_notes: tuple[str, ...] = ()
    generator: str
    content_sha256: str = ""
    """SHA-256 of this document in canonical form with this field empty."""


# --------------------------------------------------- what an agent writes back


class Reply(Doc, frozen=True, kw_only=True):
    """What every reply must echo: it binds the file to one delivery."""

    handoff_id: Hex32
    task_id: Hex32
    claim_token: Hex32
    claim_generation: Annotated[int, Meta(ge=1)]


class Ack(Reply, frozen=True, kw_only=True):
    """ACK.json. Opening the packet is not an acknowledgement; saying what was understood is."""

    schema: Literal["ack/1"] = "ack/1"
    agent: Annotated[str, Meta(min_length=1, max_length=120)]
    understood: Annotated[str, Meta(min_length=8, max_length=600)]
    """The task restated in one line."""
    accepted_at: Short = ""
    session: Short = ""
    plan_steps: Annotated[tuple[Short, ...], Meta(max_length=7)] = ()
    questions: Annotated[tuple[Short, ...], Meta(max_length=10)] = ()


class Question(Reply, frozen=True, kw_only=True):
    """QUESTION-<n>.json: something that a person must decide."""

    schema: Literal["question/1"] = "question/1"
    need: Annotated[str, Meta(min_length=1, max_length=600)]
    why: Text = ""
    options: Annotated[tuple[Short, ...], Meta(max_length=6)] = ()
    recommended: Short = ""
    default_if_silent: Short = ""
    blocks: bool = True


class Refusal(Reply, frozen=True, kw_only=True):
    """REFUSE.json: an honourable answer; routing learns from it."""

    schema: Literal["refuse/1"] = "refuse/1"
    code: RefusalCode
    reason: Annotated[str, Meta(min_length=1, max_length=600)]


class Proof(Doc, frozen=True, kw_only=True):
    """One piece of an agent's evidence. ``ref``: a path, a command line, a commit, a URL or words."""

    kind: Literal["command", "file", "commit", "url", "note"]
    ref: Annotated[str, Meta(min_length=1, max_length=2000)]
    sha256: Sha256 | None = None
    exit: int | None = None
    output_tail: Annotated[str, Meta(max_length=65536)] = ""


class Claimed(Doc, frozen=True, kw_only=True):
    """What the agent says of one criterion."""

    id: str
    claim: Literal["met", "not_met", "not_attempted", "not_applicable"]
    evidence: Annotated[tuple[Proof, ...], Meta(max_length=50)] = ()


class ChangedFile(Doc, frozen=True, kw_only=True):
    """A file that the agent says it changed; ``sha256_after`` None = deleted."""

    path: Path_
    sha256_before: Sha256 | None = None
    sha256_after: Sha256 | None = None


class Changes(Doc, frozen=True, kw_only=True):
    """All that the agent says it changed."""

    files: Annotated[tuple[ChangedFile, ...], Meta(max_length=2000)] = ()
    commits: tuple[Short, ...] = ()
    external_effects: tuple[Text, ...] = ()


class FollowUp(Doc, frozen=True, kw_only=True):
    """A task that the agent proposes. ``intent_key`` makes it one task however often it is proposed."""

    intent_key: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9._-]{0,79}$")]
    title: Annotated[str, Meta(min_length=3, max_length=200)]
    why: Text = ""
    suggested_agent: Short = ""
    criteria: Annotated[tuple[Short, ...], Meta(max_length=7)] = ()


class RefusalNote(Doc, frozen=True, kw_only=True):
    """Reason inside a return whose status is ``rejected``."""

    code: RefusalCode
    reason: Annotated[str, Meta(min_length=1, max_length=600)]


class Span(Doc, frozen=True, kw_only=True):
    """When the work was done, as the agent says; shown, proves nothing."""

    started: Short = ""
    ended: Short = ""


class Author(Doc, frozen=True, kw_only=True):
    """Who returns."""

    name: Short = ""
    version: Short = ""
    session: Short = ""


class Return(Reply, frozen=True, kw_only=True):
    """RETURN.json."""

    schema: Literal["return/1"] = "return/1"
    status: ReturnStatus
    summary: Annotated[str, Meta(min_length=1, max_length=600)]
    criteria: Annotated[tuple[Claimed, ...], Meta(max_length=100)]
    changes: Changes = Changes()
    not_done: tuple[Text, ...] = ()
    residual_risk: tuple[Text, ...] = ()
    follow_ups: Annotated[tuple[FollowUp, ...], Meta(max_length=50)] = ()
    ruled_out_added: tuple[Text, ...] = ()
    questions: tuple[Text, ...] = ()
    refusal: RefusalNote | None = None
    time: Span = Span()
    agent: Author = Author()


# ---------------------------------------------------- what the daemon answers


class Finding(Doc, frozen=True, kw_only=True):
    """One thing wrong with a reply, precise enough to be mended by a program."""

    code: str
    name: str
    field: str
    expected: str
    got: str
    how_to_fix: str


class CriterionResult(Doc, frozen=True, kw_only=True):
    """A criterion after the return was checked."""

    id: str
    text: str
    required: bool
    kind: str
    claim: str
    tier: Tier
    check: str = ""
    exit: int | None = None
    seconds: float | None = None
    why: str = ""


class FollowUpResult(Doc, frozen=True, kw_only=True):
    """What became of a proposed task. ``task`` is "" when it is held; ``why`` then says for what."""

    intent_key: str
    title: str
    task: str = ""
    why: str = ""


class Receipt(Doc, frozen=True, kw_only=True):
    """receipt.json: what was handed over, what came back, what was proved. Chained per agent by hash."""

    schema: Literal["receipt/1"] = "receipt/1"
    sequence: Annotated[int, Meta(ge=1)]
    handoff_id: Hex32
    task_id: Hex32
    run: str
    agent: str
    title: str
    state: Literal["completed", "partial", "failed", "rejected", "input_required"]
    outcome: str
    summary: str
    tier: Tier
    """The weakest tier among the required criteria."""
    criteria: tuple[CriterionResult, ...]
    files: tuple[ContextFile, ...] = ()
    """What changed in the workspace since the claim, hashed when it was checked (role: added, changed)."""
    removed: tuple[str, ...] = ()
    follow_ups: tuple[FollowUpResult, ...] = ()
    rejections: int
    delivered_at: str
    acknowledged_at: str
    checked_at: str
    handoff_sha256: Sha256
    return_sha256: Sha256
    previous_sha256: str
    """``receipt_sha256`` of the agent's receipt before this one; "" for the first."""
    receipt_sha256: str = ""
    """SHA-256 of this document in canonical form with this field empty."""
