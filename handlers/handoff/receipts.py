"""Receipts: written once, chained per agent by hash, checkable offline with nothing but the files."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from handlers.handoff.disk import (
    canonical,
    locked,
    make_dir,
    pretty,
    sha256,
    sha256_file,
    sweep,
    write_once,
    write_over,
)
from handlers.handoff.model import Receipt
from handlers.handoff.packets import STATES

NAME = re.compile(r"([0-9]{6,})--([0-9a-f]{32})--g([1-9][0-9]*)\.json")


def hash_of(receipt: Receipt) -> str:
    """SHA-256 of the canonical form with ``receipt_sha256`` empty."""
    return sha256(canonical(msgspec.structs.replace(receipt, receipt_sha256="")))


def append(root: Path, draft: Receipt, generation: int) -> Receipt:
    """Put ``draft`` at the end of the agent's chain, once for each delivery; gives it as it stands."""
    folder = make_dir(root / "receipts")
    sweep(folder)
    with locked(folder):
        chain = listed(folder)
        tail = f"--{draft.task_id}--g{generation}.json"
        for path in chain:
            if path.name.endswith(tail):
                return load(path)
        last = load(chain[-1]) if chain else None
        numbered = msgspec.structs.replace(
            draft,
            sequence=last.sequence + 1 if last else 1,
            previous_sha256=last.receipt_sha256 if last else "",
        )
        receipt = msgspec.structs.replace(numbered, receipt_sha256=hash_of(numbered))
        write_once(folder / f"{receipt.sequence:06d}{tail}", pretty(receipt))
        return receipt


def put(packet: Path, receipt: Receipt, markdown: str) -> None:
    """Write receipt.md, then receipt.json (which ends the handoff), into the packet."""
    write_over(packet / "receipt.md", markdown.encode())
    write_over(packet / "receipt.json", pretty(receipt))


def listed(folder: Path) -> list[Path]:
    """The chain's files in order."""
    found = [(int(m[1]), p) for p in folder.iterdir() if (m := NAME.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def load(path: Path) -> Receipt:
    """A receipt from its file. Raises msgspec.DecodeError or ValidationError on anything else."""
    return msgspec.json.decode(path.read_bytes(), type=Receipt)


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What checking a receipt found; ``problems`` empty = it holds."""

    path: str
    receipt_sha256: str
    checked: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing speaks against it."""
        return not self.problems


def verify(path: Path) -> Verification:
    """Check a receipt offline: its own hash, the chain back to the first one, and the packet's files.

    ``path``: receipt.json in a packet, a file of the receipts folder, or a packet's folder.
    """
    path = path / "receipt.json" if path.is_dir() else path
    try:
        receipt = load(path)
    except (OSError, msgspec.MsgspecError) as err:
        return Verification(
            path=str(path), receipt_sha256="", checked=(), problems=(f"{path} can't be read: {err}",)
        )
    checked, problems = ["own hash"], []
    if hash_of(receipt) != receipt.receipt_sha256:
        problems.append("the receipt was changed after it was written")
    in_packet = path.parent.parent.name in STATES
    root = path.parent.parent.parent if in_packet else path.parent.parent
    problems += _chain(root / "receipts", receipt)
    checked.append(f"chain of {receipt.sequence}")
    packet = path.parent if in_packet else _packet(root, receipt)
    if packet is not None:
        checked.append("handoff.json and the accepted return")
        problems += _files(packet, receipt)
    return Verification(
        path=str(path),
        receipt_sha256=receipt.receipt_sha256,
        checked=tuple(checked),
        problems=tuple(problems),
    )


def _packet(root: Path, receipt: Receipt) -> Path | None:
    from handlers.handoff.packets import locate

    return locate(root, receipt.task_id, int(receipt.run.rsplit(".g", 1)[1]))


def _files(packet: Path, receipt: Receipt) -> list[str]:
    problems = []
    for name, wanted in (
        ("handoff.json", receipt.handoff_sha256),
        ("RETURN.accepted.json", receipt.return_sha256),
    ):
        try:
            found = sha256_file(packet / name)
        except OSError:
            problems.append(f"{name} is not in the packet")
            continue
        if found != wanted:
            problems.append(f"{name} is not what the receipt was written for")
    return problems


def _chain(folder: Path, receipt: Receipt) -> list[str]:
    problems: list[str] = []
    try:
        files = listed(folder)
    except OSError:
        return [f"the chain's folder {folder} is missing"]
    previous = ""
    for number, path in enumerate(files, 1):
        try:
            link = load(path)
        except (OSError, msgspec.MsgspecError) as err:
            return [*problems, f"{path.name} can't be read: {err}"]
        if (
            link.sequence != number
            or link.previous_sha256 != previous
            or hash_of(link) != link.receipt_sha256
        ):
            return [*problems, f"the chain is broken at {path.name}"]
        previous = link.receipt_sha256
        if number == receipt.sequence:
            return (
                problems
                if link.receipt_sha256 == receipt.receipt_sha256
                else ["the chain holds another receipt here"]
            )
    return [*problems, f"the chain ends before number {receipt.sequence}"]
