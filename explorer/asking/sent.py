"""An answer as it is sent: JSON, with the kind of each column, so that it is printed there as it would be here."""

from typing import Any

import polars as pl
from pydantic import BaseModel, Field

from explorer.asking.answer import Answer

_KINDS = {
    str(kind): kind
    for kind in (
        *(pl.String, pl.Boolean, pl.Float32, pl.Float64),
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
    )
}


class SentTable(BaseModel):
    """A table: its columns with their kinds (as Polars names them), and its rows."""

    columns: dict[str, str] = Field(examples=[{"feature": "UInt32", "max": "Float32"}])
    rows: list[dict[str, Any]] = Field(examples=[[{"feature": 42, "max": 9.5}]])

    @classmethod
    def of(cls, table: pl.DataFrame) -> "SentTable":
        """The table as it is sent."""
        return cls(columns={name: str(kind) for name, kind in table.schema.items()}, rows=table.to_dicts())

    def table(self) -> pl.DataFrame:
        """The table that was sent."""
        schema = {name: _KINDS[kind] for name, kind in self.columns.items()}
        return pl.DataFrame(self.rows, schema=schema, orient="row")


class SentAnswer(BaseModel):
    """Sentences and tables about features; each sentence claims only what its numbers support."""

    title: str
    lines: list[str]
    tables: dict[str, SentTable]

    @classmethod
    def of(cls, answer: Answer) -> "SentAnswer":
        """The answer as it is sent."""
        tables = {name: SentTable.of(table) for name, table in answer.tables.items()}
        return cls(title=answer.title, lines=list(answer.lines), tables=tables)

    def answer(self) -> Answer:
        """The answer that was sent.

        Raises:
            ValueError: a table does not hold what its columns say.
        """
        try:
            tables = {name: one.table() for name, one in self.tables.items()}
        except (pl.exceptions.PolarsError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"a table does not hold what its columns say ({error})") from error
        return Answer(self.title, tuple(self.lines), tables)
