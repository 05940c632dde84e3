"""Every call this program makes into the SQL core, one typed function each.

The screens, the command line, the worker and the demo all call these, on autocommit connections.
A failure is an `OperationError` with a message and a hint for people.
"""

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
from tsconsole.operations.indexes import follow_advice, recommend_indexes
from tsconsole.operations.maintenance import (
    maintain,
    maintenance_log,
    planned_tasks,
    run_due_task,
)
from tsconsole.operations.monitoring import (
    due_rollups,
    get_error,
    list_errors,
    list_operations,
    list_retries,
    list_runs,
    monitor_snapshot,
    progress,
)
from tsconsole.operations.partitions import (
    apply_retention,
    expired_partitions,
    list_retention,
    partitions_of,
    set_retention,
)
from tsconsole.operations.running import (
    bulk_load,
    cancel_backend,
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

__all__ = [
    "ConnectionLost",
    "OperationError",
    "apply_retention",
    "bulk_load",
    "cancel_backend",
    "create_ladder",
    "create_rollup",
    "create_statement",
    "definition",
    "detailed_stats",
    "drop_rollup",
    "due_rollups",
    "expired_partitions",
    "extensions",
    "follow_advice",
    "get_error",
    "invalidate",
    "list_errors",
    "list_operations",
    "list_retention",
    "list_retries",
    "list_runs",
    "maintain",
    "maintenance_log",
    "monitor_snapshot",
    "optimize_chunk_interval",
    "partition_stats",
    "partitions_of",
    "pause",
    "planned_tasks",
    "progress",
    "recommend_indexes",
    "repair",
    "resume",
    "retry",
    "retry_due",
    "run_all",
    "run_due_task",
    "run_step",
    "run_table",
    "server_info",
    "set_retention",
    "source_columns",
    "source_tables",
    "targets_of",
    "validate_config",
    "validate_create",
    "verify",
]
