"""Names that take a text out of the groups: PostgreSQL's own functions, and columns.

All in lower case but the columns; "*" at the end stands for any rest. A test holds the tables to the catalogue of a
server:
each volatile function of PostgreSQL is in one of them, or in the test's list of those that notice no company.
"""

from __future__ import annotations

# The functions that leave state on their session.
LEAVES_STATE = (
    "set_config", "setseed", "set_limit",
    "pg_advisory_lock*", "pg_try_advisory_lock*", "pg_advisory_unlock*",
    "dblink*", "lo_*", "loread", "lowrite",
    "pg_create_logical_replication_slot", "pg_create_physical_replication_slot", "pg_replication_origin_*",
    "pg_start_backup", "pg_stop_backup", "pg_backup_start", "pg_backup_stop",
)  # fmt: skip
# Those that tell what earlier statements of the session did: the answer is another one on another connection.
READS_STATE = ("currval", "lastval")
# Those that run SQL out of a string, which nothing here reads.
RUNS_TEXT = ("query_to_xml*", "cursor_to_xml*", "ts_stat", "ts_rewrite", "crosstab*", "connectby", "xpath_table")
# Those for which it matters what else is in the transaction or on the connection, ...
RUNS_ALONE = (
    "pg_advisory_xact_lock*", "pg_try_advisory_xact_lock*", "pg_notify",
    "pg_export_snapshot", "pg_current_snapshot", "txid_current*", "txid_status",
    "pg_current_xact_id", "pg_current_xact_id_if_assigned", "pg_xact_*", "pg_last_committed_xact",
    "pg_cancel_backend", "pg_terminate_backend", "pg_backend_pid", "pg_reload_conf", "pg_stat_*",
    # ... and those whose effect is not undone by a rollback: a group that is broken up would have it twice.
    "setval", "pg_create_restore_point", "pg_switch_wal", "pg_promote", "pg_rotate_logfile*", "pg_wal_replay_*",
    "pg_logical_*", "pg_copy_logical_*", "pg_copy_physical_*", "pg_replication_slot_advance",
    "pg_drop_replication_slot", "pg_log_backend_memory_contexts", "pg_nextoid", "pg_stop_making_pinned_objects",
    "pg_extension_config_dump", "pg_import_system_collations", "binary_upgrade_*", "brin_*", "gin_clean_pending_list",
)  # fmt: skip
# Columns that tell the transaction which wrote a row: of a group all rows have one, so a version token made of them
# would also fit a stranger's change.
TRANSACTION_COLUMNS = frozenset(("XMIN", "XMAX", "CMIN", "CMAX"))


def is_among(name: str, functions: tuple[str, ...]) -> bool:
    """Whether a table holds a name, given in the form in which the server looks it up."""
    return any(name.startswith(one[:-1]) if one[-1] == "*" else name == one for one in functions)
