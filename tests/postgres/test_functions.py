"""The tables of functions against the server's own catalogue: no volatile function was left out unseen."""

from __future__ import annotations

from typing import Any

from db_pool_rs.sql import StatementClass, classify

VOLATILE = """
SELECT DISTINCT proname FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v' AND prokind IN ('f', 'p')
  AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'language_handler'::regtype,
                         'table_am_handler'::regtype, 'index_am_handler'::regtype)
  AND 'internal'::regtype <> ALL (proargtypes::oid[])
ORDER BY proname
"""
#: Volatile functions that notice no company, and whose effect, where they have any, is undone by a rollback.
HARMLESS = {
    "what the clock and chance say": "clock_timestamp timeofday random gen_random_uuid pg_sleep pg_sleep_for "
    "pg_sleep_until",
    "the text as the server received it": "current_query",
    "numbers of sequences, whose gaps are told of": "nextval pg_sequence_last_value",
    "sizes and files": "pg_database_size pg_indexes_size pg_relation_size pg_table_size pg_tablespace_size "
    "pg_total_relation_size pg_ls_archive_statusdir pg_ls_dir pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir "
    "pg_ls_replslotdir pg_ls_summariesdir pg_ls_tmpdir pg_ls_waldir pg_read_binary_file pg_read_file pg_read_file_old "
    "pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings pg_current_logfile",
    "the server as a whole": "pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system "
    "pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_get_backend_memory_contexts "
    "pg_get_multixact_members pg_get_shmem_allocations pg_get_wal_replay_pause_state pg_get_wal_resource_managers "
    "pg_is_in_recovery pg_is_wal_replay_paused pg_last_wal_receive_lsn pg_last_wal_replay_lsn "
    "pg_last_xact_replay_timestamp pg_jit_available pg_notification_queue_usage pg_prepared_xact "
    "pg_show_replication_origin_status pg_collation_actual_version pg_database_collation_actual_version "
    "pg_available_wal_summaries pg_get_wal_summarizer_state pg_wal_summary_contents",
    "who holds and awaits locks": "pg_lock_status pg_blocking_pids pg_safe_snapshot_blocking_pids "
    "pg_isolation_test_session_is_blocked",
    "the catalogue": "pg_partition_ancestors pg_partition_tree currtid2 amvalidate plpgsql_validator",
}  # fmt: skip


def test_every_volatile_function_was_looked_at(pg_server: Any) -> None:
    harmless = {name for names in HARMLESS.values() for name in names.split()}
    volatile = [name for (name,) in pg_server.sql(VOLATILE)]
    assert len(volatile) > 150
    grouped = {name for name in volatile if classify(f"SELECT {name}()").kind is StatementClass.READ}
    assert grouped - harmless == set()


def test_nothing_is_called_harmless_that_runs_alone() -> None:
    harmless = {name for names in HARMLESS.values() for name in names.split()}
    assert {name for name in harmless if classify(f"SELECT {name}()").kind is not StatementClass.READ} == set()
