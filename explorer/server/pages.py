"""Pages of a layer's tables."""

from typing import Any, NamedTuple

import polars as pl

from explorer.reading.library import ShownLayer


class Page(NamedTuple):
    """Which rows of a table are asked for: the page, from 1 on, and how many it has."""

    page: int
    per_page: int

    @property
    def span(self) -> slice:
        """The places of its rows."""
        return slice((self.page - 1) * self.per_page, self.page * self.per_page)

    def cut(self, table: pl.DataFrame) -> list[dict[str, Any]]:
        """The page's rows."""
        return table[self.span].to_dicts()


def of_layer(shown: ShownLayer, **more: Any) -> dict[str, Any]:
    """A document about a layer: which one it is, and the rest."""
    return {"study": shown.study.key, "layer": shown.indexed.layer, "version": shown.version, **more}


def paged(shown: ShownLayer, name: str, table: pl.DataFrame, page: Page) -> dict[str, Any]:
    """The document with a page of a table of the layer under `name`."""
    return of_layer(shown, total=table.height, **page._asdict(), **{name: page.cut(table)})
