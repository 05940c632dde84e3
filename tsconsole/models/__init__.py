"""The rows that the SQL core returns, as frozen dataclasses.

Relations are text here, always `schema.name` and quoted where needed. An interval that measures
something (a lag, a duration) is a `timedelta`; an interval that defines something (a bucket width,
a retention period) stays PostgreSQL's own text, because `1 mon` is no number of seconds;
`tsconsole.intervals.short_interval` writes it for people.
"""

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
    RollupDetails,
)
from tsconsole.models.partitions import (
    ChunkChoice,
    ExpiredPartition,
    PartitionRebuild,
    PartitionStat,
    PartitionState,
    RebuildStep,
    Retention,
    RetentionAction,
)
from tsconsole.models.rollups import (
    DetailedStat,
    Difference,
    DueRollup,
    ErrorEntry,
    ErrorGroup,
    Health,
    Outcome,
    PendingRange,
    Progress,
    RefreshRun,
    RetryEntry,
    RollupDefinition,
    RollupStatus,
    RunningStep,
    Status,
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
from tsconsole.requests import (
    Created,
    LadderRequest,
    RollupOptions,
    RollupRequest,
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
    "DetailedStat",
    "Difference",
    "DueRollup",
    "ErrorEntry",
    "ErrorGroup",
    "ExpiredPartition",
    "Extension",
    "Health",
    "IndexAdvice",
    "IndexProgress",
    "InstallPlan",
    "InstallStep",
    "LadderRequest",
    "MaintenanceEntry",
    "MaintenanceTask",
    "MonitorSnapshot",
    "Outcome",
    "PartitionRebuild",
    "PartitionStat",
    "PartitionState",
    "PendingRange",
    "PlannedTask",
    "Progress",
    "RebuildStep",
    "RefreshRun",
    "RemovedJob",
    "Retention",
    "RetentionAction",
    "RetryEntry",
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
    "StepResult",
    "TaskOutcome",
    "Work",
    "WorkerStatus",
]
