"""What workers tell of themselves, and what they ask beside the steps."""

from __future__ import annotations

from dataclasses import dataclass

from tsconsole.operations.calls import Connection, fetch_value, operation


@dataclass(frozen=True)
class WorkerState:
    """One heartbeat of a worker."""

    name: str
    host: str
    pid: int
    version: str
    jobs: int
    parallel: int
    running: int
    steps: int
    failures: int
    last_step: str | None


@operation
async def beat_worker(connection: Connection, worker_id: int | None, state: WorkerState) -> int:
    """Note that the worker lives, and how it is; its id, which is new for None."""
    update = """
        update tsconsole.worker
           set seen_at = clock_timestamp(), parallel = %(parallel)s, running = %(running)s,
               steps = %(steps)s, failures = %(failures)s, last_step = %(last_step)s
         where id = %(id)s
        returning id
    """
    insert = """
        insert into tsconsole.worker
               (name, host, pid, version, jobs, parallel, running, steps, failures, last_step)
        values (%(name)s, %(host)s, %(pid)s, %(version)s, %(jobs)s, %(parallel)s, %(running)s,
                %(steps)s, %(failures)s, %(last_step)s)
        returning id
    """
    parameters = {**vars(state), "id": worker_id}
    known = None
    if worker_id is not None:
        known = await fetch_value(connection, update, parameters)
    return int(known or await fetch_value(connection, insert, parameters))


@operation
async def forget_worker(connection: Connection, worker_id: int) -> None:
    """The worker ends."""
    await connection.execute("delete from tsconsole.worker where id = %s", [worker_id])


@operation
async def seconds_to_next(connection: Connection) -> float | None:
    """For how long nothing will become due by the clock; None when nothing will at all."""
    seconds: float | None = await fetch_value(connection, "select tsconsole.seconds_to_next()")
    return seconds


@operation
async def slowdown(connection: Connection) -> float | None:
    """How many times their predicted time steps took lately; None when there were too few."""
    ratio: float | None = await fetch_value(connection, "select tsconsole.slowdown()")
    return ratio
