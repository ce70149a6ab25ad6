"""Write the report of a feature catalogue: a page that fetches nothing, and the same in Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from core.figures.writers import write_figure
from core.report import text
from core.report.catalogue.cards import cards
from core.report.catalogue.collected import collect_catalogue
from core.report.catalogue.figures import figures
from core.report.catalogue.markdown import markdown
from core.report.catalogue.told import asked, by_part, facts, failed, over_features, told, unread
from core.report.columns import TableView, table_view
from core.report.contents import flat
from core.report.model import ShownTable
from core.report.pictures import Pictures
from core.report.rendering import figure_view, templates
from core.study.variant import title

PAGE, MARKDOWN = "report.html", "report.md"


def write_catalogue_report(tables: Path, config: Mapping[str, Any], out: Path, images: Path | None = None) -> Path:
    """Write `report.html`, `report.md` and `figures/` below `out`; return the page. Equal inputs give equal bytes.

    Args:
        tables: the published tables.
        config: the catalogue, as nested dictionaries.
        out: a folder.
        images: the folder that the tables' pictures are relative to; null shows none.

    Raises:
        BadInput: a table is missing or damaged.
        OSError: the disk is full.
        ValueError: a figure cannot be drawn.
    """
    report = collect_catalogue(tables, config, images)
    drawn = {name: write_figure(figure, name, out / "figures") for name, figure in figures(report).items()}
    numbered = enumerate(drawn.items(), start=1)
    context = {
        "title": title(config),
        "description": config["description"],
        "facts": tuple(facts(report)),
        "findings": tuple(map(text.mixed, told(report))),
        "figures": tuple(figure_view(number, name, file) for number, (name, file) in numbered),
        "scores": _view("aggregates", "Scores over features, by explainer and scorer", over_features(report)),
        "parts_by": _view("parts", "The same by SAE, kind and language of examples", by_part(report)),
        "asked": _view("asked", "Who explains and who judges", asked(report)),
        "cards": cards(report),
        "features": report.explanations.select("sae_id", "feature_id").n_unique(),
        "failed": _view("failed", "Explanations that failed", failed(report)),
        "unread": _view("unread", "Answers of judges that could not be read", unread(report)),
        "settings": flat(dict(config)),
    }
    (out / PAGE).write_text(templates().get_template("catalogue.html.j2").render(context), encoding="utf-8")
    lines = "\n".join(markdown(report, drawn))
    (out / MARKDOWN).write_text(f"{lines}\n", encoding="utf-8")
    return out / PAGE


def _view(name: str, heading: str, table: pl.DataFrame) -> TableView | None:
    return table_view(ShownTable(name, heading, table), Pictures(None)) if table.height else None
