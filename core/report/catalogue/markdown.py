"""The report of a catalogue as Markdown."""

from collections.abc import Iterator, Mapping

import polars as pl

from core.figures.writers import FigureFile
from core.report import text
from core.report.catalogue.collected import CatalogueReport
from core.report.catalogue.told import asked, facts, failed, over_features, told, unread
from core.report.contents import label
from core.report.markdown import escaped
from core.study.variant import title


def markdown(report: CatalogueReport, drawn: Mapping[str, FigureFile]) -> Iterator[str]:
    """Its lines."""
    yield f"# {escaped(title(report.config))}\n"
    yield f"{escaped(report.config['description'])}\n"
    yield from (f"- {name}: **{escaped(value)}**" for value, name in facts(report))
    yield "\n## How well explanations do\n"
    yield from [f"- {escaped(line)}" for line in told(report)] or ["No explanation was scored."]
    for name, figure in drawn.items():
        yield f"\n![{escaped(figure.alt)}](figures/{name}.png)\n\n{escaped(figure.caption)}"
    tables = {
        "Scores over features": over_features(report),
        "Who explains and who judges": asked(report),
        "Explanations that failed": failed(report),
        "Answers of judges that could not be read": unread(report),
    }
    for heading, table in tables.items():
        if table.height:
            yield f"\n## {heading}\n"
            yield from _table(table)
    yield "\n## Features\n"
    here = report.explanations.join(report.shown, on=["sae_id", "feature_id"], how="semi")
    yield from _table(here.select("sae_id", "feature_id", "explainer", "language", "text", "failure"))


def _table(table: pl.DataFrame) -> Iterator[str]:
    yield "| " + " | ".join(escaped(label(name)) for name in table.columns) + " |"
    yield "|" + "---|" * len(table.columns)
    for row in table.iter_rows():
        yield "| " + " | ".join(_cell(value) for value in row) + " |"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return escaped(text.number(value) if isinstance(value, float) else str(value))
