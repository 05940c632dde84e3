"""`tsconsole demo`: an embedded PostgreSQL with live data, rollups, a worker and the console."""

from __future__ import annotations

from pathlib import Path


def run_demo(
    *,
    data_dir: Path | None = None,
    console: bool = True,
    reset: bool = False,
    as_json: bool = False,
    rows: int | None = None,
    screenshot: Path | None = None,
) -> int:
    """Run the demo until its console is closed, or without one until its rollups are complete.

    `rows` is the number of simulated readings to begin with; `screenshot` writes a picture of the
    console (SVG) to a file instead of opening it.  Answers the exit code: 0 as it should be, 1
    something is not as expected, 130 interrupted.
    """
    # Imported here: the command line offers the demo where its extra is not installed.
    from tsconsole.demo.server import DemoError

    try:
        from tsconsole.demo.run import Options, run
        from tsconsole.demo.sources import DEFAULT_ROWS
    except ModuleNotFoundError as error:
        if error.name != "psutil":
            raise
        raise DemoError(
            "The demo needs packages that are not installed.",
            "Install them with: pip install 'tsconsole[demo]'",
        ) from None

    options = Options(data_dir, console, reset, as_json, rows or DEFAULT_ROWS, screenshot)
    return run(options)
