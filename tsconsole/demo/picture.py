"""A picture of the console for the docs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

from tsconsole.app import TsConsole
from tsconsole.database import Settings


async def screenshot(
    settings: Settings, path: Path, size: tuple[int, int] = (120, 36), seconds: float = 4.0
) -> None:
    """Write a picture (SVG) of the monitor as it is after some seconds."""
    app = TsConsole(settings)
    async with app.run_test(size=size, notifications=True):
        until = monotonic() + seconds
        while monotonic() < until or app.session.snapshot is None:
            await asyncio.sleep(0.1)
            if monotonic() > until + 30:
                break
        app.clear_notifications()
        await asyncio.sleep(0.2)
        picture = app.export_screenshot(title="tsconsole")
    await asyncio.to_thread(path.write_text, picture, encoding="utf-8")
