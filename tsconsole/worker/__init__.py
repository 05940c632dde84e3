"""`tsconsole worker`: the loop that keeps rollups current.

Any number of workers may run at once, on any hosts: claims are taken in the database, and a step
that another worker holds answers `busy` at once.
"""

from tsconsole.worker.loop import Worker
from tsconsole.worker.options import WorkerOptions
from tsconsole.worker.process import run_worker

__all__ = ["Worker", "WorkerOptions", "run_worker"]
