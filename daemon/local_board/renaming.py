"""The "rename_property" fault: somebody renames a column while the daemon runs."""

from __future__ import annotations

from daemon.local_board import schema_edit
from daemon.local_board.board import Board, Call
from daemon.local_board.errors import SERVED_VERSIONS
from daemon.local_board.faults import FaultRule


def rename(board: Board, rule: FaultRule) -> None:
    """Renames a property as a person would; a data source or property that is not there is left at that."""
    with board.store.write() as db:
        call = Call(
            board=board,
            db=db,
            version=SERVED_VERSIONS[-1],
            now=board.now_ms(),
            actor=board.person_id,
            base_url="",
        )
        row = db.execute("SELECT * FROM data_source WHERE id = ?", (rule.data_source,)).fetchone()
        schema = call.schema(row["key"]) if row is not None else None
        if schema is not None and schema.find(rule.property) is not None:
            schema_edit.change(call, schema, {rule.property: {"name": rule.to}})
            call.event("data_source.schema_updated", "data_source", schema.id, {"renamed": rule.property})
