"""A compositor that asks widgets only for the lines that are drawn."""

from __future__ import annotations

from collections.abc import Iterable

from textual._compositor import Compositor
from textual.geometry import Region
from textual.strip import Strip


class LinesOnly(Compositor):
    """Textual's own asks every widget beside one that changed for all of its lines: when the age of
    the data goes on by a second, that takes longer than all the rest."""

    def _get_renders(
        self, crop: Region | None = None
    ) -> Iterable[tuple[Region, Region, list[Strip]]]:
        drawn = crop or self.size.region
        lines = Region(0, drawn.y, self.size.width, drawn.height)
        for widget, (region, clip) in self.visible_widgets.items():
            part = clip.intersection(lines)
            seen = region.intersection(part)
            if seen.overlaps(drawn):
                yield region, part, widget.render_lines(seen.translate(-region.offset))
