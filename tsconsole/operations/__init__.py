"""Every call this program makes into the SQL core, one typed function each.

The screens, the command line, the worker and the demo all call these, on autocommit connections.
A failure is an `OperationError` with a message and a hint for people.
"""

from typing import TYPE_CHECKING

from tsconsole.lazy import names_of

if TYPE_CHECKING:
    from tsconsole.errors import ConnectionLost, OperationError
    from tsconsole.operations.catalog import (
        definition,
        detailed_stats,
        extensions,
        partition_stats,
        server_info,
        source_columns,
        source_tables,
        validate_config,
    )
    from tsconsole.operations.creation import (
        create_ladder,
        create_rollup,
        create_statement,
        drop_rollup,
        validate_create,
    )
    from tsconsole.operations.data import data_extent, data_levels, data_series, data_values
    from tsconsole.operations.details import rollup_details
    from tsconsole.operations.failing import acknowledge, explain_error, failures
    from tsconsole.operations.indexes import follow_advice, recommend_indexes
    from tsconsole.operations.maintenance import (
        detach_for_task,
        maintain,
        maintenance_log,
        planned_tasks,
        run_due_task,
    )
    from tsconsole.operations.monitoring import (
        activity,
        activity_by_rollup,
        due_rollups,
        get_error,
        list_errors,
        list_operations,
        list_retries,
        list_runs,
        list_steps,
        monitor_snapshot,
        progress,
        step_costs,
    )
    from tsconsole.operations.overviews import (
        advice_overview,
        hour_overview,
        maintenance_overview,
        partitions_overview,
    )
    from tsconsole.operations.partitions import (
        apply_retention,
        detach_concurrently,
        expired_partitions,
        list_retention,
        partitions_of,
        partman_settings,
        plan_rebuild,
        rebuild_partitions,
        set_retention,
    )
    from tsconsole.operations.running import (
        bulk_load,
        cancel_step,
        invalidate,
        optimize_chunk_interval,
        pause,
        repair,
        resume,
        retry,
        retry_due,
        run_all,
        run_step,
        run_table,
        targets_of,
        verify,
    )
    from tsconsole.operations.scheduling import (
        cron_jobs,
        cron_runs,
        job_names,
        list_workers,
        schedule,
        schedule_elsewhere,
        schedule_jobs,
        schedule_snapshot,
        set_refresh_interval,
        unschedule_elsewhere,
        unschedule_jobs,
    )
    from tsconsole.operations.workers import (
        beat_worker,
        forget_worker,
        seconds_to_next,
        slowdown,
    )
else:
    # In this order: what the first screen needs is imported alone.
    __getattr__ = names_of(
        __name__,
        (
            ".monitoring",
            ".catalog",
            ".creation",
            ".data",
            ".details",
            ".failing",
            ".indexes",
            ".maintenance",
            ".overviews",
            ".partitions",
            ".running",
            ".scheduling",
            ".workers",
            "..errors",
        ),
    )

__all__ = [
    "ConnectionLost",
    "OperationError",
    "acknowledge",
    "activity",
    "activity_by_rollup",
    "advice_overview",
    "apply_retention",
    "beat_worker",
    "bulk_load",
    "cancel_step",
    "create_ladder",
    "create_rollup",
    "create_statement",
    "cron_jobs",
    "cron_runs",
    "data_extent",
    "data_levels",
    "data_series",
    "data_values",
    "definition",
    "detach_concurrently",
    "detach_for_task",
    "detailed_stats",
    "drop_rollup",
    "due_rollups",
    "expired_partitions",
    "explain_error",
    "extensions",
    "failures",
    "follow_advice",
    "forget_worker",
    "get_error",
    "hour_overview",
    "invalidate",
    "job_names",
    "list_errors",
    "list_operations",
    "list_retention",
    "list_retries",
    "list_runs",
    "list_steps",
    "list_workers",
    "maintain",
    "maintenance_log",
    "maintenance_overview",
    "monitor_snapshot",
    "optimize_chunk_interval",
    "partition_stats",
    "partitions_of",
    "partitions_overview",
    "partman_settings",
    "pause",
    "plan_rebuild",
    "planned_tasks",
    "progress",
    "rebuild_partitions",
    "recommend_indexes",
    "repair",
    "resume",
    "retry",
    "retry_due",
    "rollup_details",
    "run_all",
    "run_due_task",
    "run_step",
    "run_table",
    "schedule",
    "schedule_elsewhere",
    "schedule_jobs",
    "schedule_snapshot",
    "seconds_to_next",
    "server_info",
    "set_refresh_interval",
    "set_retention",
    "slowdown",
    "source_columns",
    "source_tables",
    "step_costs",
    "targets_of",
    "unschedule_elsewhere",
    "unschedule_jobs",
    "validate_config",
    "validate_create",
    "verify",
]
