"""The rows that the SQL core returns, as frozen dataclasses.

Relations are text here, always `schema.name` and quoted where needed. An interval that measures
something (a lag, a duration) is a `timedelta`; an interval that defines something (a bucket width,
a retention period) stays PostgreSQL's own text, because `1 mon` is no number of seconds;
`tsconsole.intervals.short_interval` writes it for people.
"""

from typing import TYPE_CHECKING

from tsconsole.lazy import names_of

if TYPE_CHECKING:
    from tsconsole.models.data import DataLevel, DataPoint, DataSeries
    from tsconsole.models.database import (
        MINIMUM_SERVER_VERSION,
        Extension,
        ServerInfo,
        SourceColumn,
        SourceTable,
    )
    from tsconsole.models.indexes import (
        IndexAdvice,
        IndexProgress,
    )
    from tsconsole.models.installation import (
        InstallPlan,
        InstallStep,
        SchemaState,
    )
    from tsconsole.models.monitor import (
        ActivityMinute,
        MonitorSnapshot,
        RollupActivity,
        RollupDetails,
    )
    from tsconsole.models.partitions import (
        ChunkChoice,
        ExpiredPartition,
        PartitionRebuild,
        PartitionStat,
        PartitionState,
        PartmanSetting,
        RebuildStep,
        Retention,
        RetentionAction,
    )
    from tsconsole.models.requests import (
        Created,
        LadderRequest,
        RollupOptions,
        RollupRequest,
    )
    from tsconsole.models.rollups import (
        DetailedStat,
        Difference,
        DueRollup,
        ErrorEntry,
        ErrorGroup,
        Failures,
        Health,
        LoggedError,
        Outcome,
        PendingRange,
        Progress,
        RefreshRun,
        RetryEntry,
        RollupDefinition,
        RollupStatus,
        RunningStep,
        Status,
        StepCost,
        StepResult,
        Work,
    )
    from tsconsole.models.scheduling import (
        CronJob,
        CronPlace,
        CronRun,
        RemovedJob,
        ScheduledJob,
        ScheduledRollup,
        ScheduleSnapshot,
        WorkerStatus,
    )
    from tsconsole.models.upkeep import (
        CheckUp,
        ConfigCheck,
        MaintenanceEntry,
        MaintenanceTask,
        PlannedTask,
        Severity,
        TaskOutcome,
    )
else:
    # In this order: what the first screen needs is imported alone.
    __getattr__ = names_of(
        __name__,
        (
            ".monitor",
            ".rollups",
            ".partitions",
            ".database",
            ".installation",
            ".upkeep",
            ".scheduling",
            ".indexes",
            ".data",
            ".requests",
        ),
    )

__all__ = [
    "MINIMUM_SERVER_VERSION",
    "ActivityMinute",
    "CheckUp",
    "ChunkChoice",
    "ConfigCheck",
    "Created",
    "CronJob",
    "CronPlace",
    "CronRun",
    "DataLevel",
    "DataPoint",
    "DataSeries",
    "DetailedStat",
    "Difference",
    "DueRollup",
    "ErrorEntry",
    "ErrorGroup",
    "ExpiredPartition",
    "Extension",
    "Failures",
    "Health",
    "IndexAdvice",
    "IndexProgress",
    "InstallPlan",
    "InstallStep",
    "LadderRequest",
    "LoggedError",
    "MaintenanceEntry",
    "MaintenanceTask",
    "MonitorSnapshot",
    "Outcome",
    "PartitionRebuild",
    "PartitionStat",
    "PartitionState",
    "PartmanSetting",
    "PendingRange",
    "PlannedTask",
    "Progress",
    "RebuildStep",
    "RefreshRun",
    "RemovedJob",
    "Retention",
    "RetentionAction",
    "RetryEntry",
    "RollupActivity",
    "RollupDefinition",
    "RollupDetails",
    "RollupOptions",
    "RollupRequest",
    "RollupStatus",
    "RunningStep",
    "ScheduleSnapshot",
    "ScheduledJob",
    "ScheduledRollup",
    "SchemaState",
    "ServerInfo",
    "Severity",
    "SourceColumn",
    "SourceTable",
    "Status",
    "StepCost",
    "StepResult",
    "TaskOutcome",
    "Work",
    "WorkerStatus",
]
