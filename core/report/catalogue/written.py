"""Write the report of a feature catalogue: a page that fetches nothing, and the same in Markdown."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.explain.publishing import AGGREGATED, EXPLAINED, SUMMARY, read
from core.report import text
from core.report.columns import table_view
from core.report.contents import flat
from core.report.model import ShownTable
from core.report.pictures import Pictures
from core.report.rendering import templates
from core.report.sentences import sentences
from core.stats.estimate import Estimate
from core.store.artifacts import read_json
from core.study.variant import title

PAGE, MARKDOWN = "report.html", "report.md"
_SAID = ("sae_id", "feature_id", "explainer", "language", "text", "failure")
_OVER = ("sae_id", "explainer", "explanation_language", "scorer", "example_kind", "language", "metric", "chance", "n")
_NUMBERS = ("mean", "low", "high", "sd", "median", "n_judged", "n_failed")


def write_catalogue_report(tables: Path, config: Mapping[str, Any], out: Path) -> Path:
    """Write `report.html` and `report.md` below `out`; return the page. Equal inputs give equal bytes.

    Args:
        tables: the published tables.
        config: the catalogue, as nested dictionaries.
        out: a folder.

    Raises:
        OSError: the disk is full.
    """
    summary, said = read_json(tables / SUMMARY), read(tables / EXPLAINED).select(_SAID)
    found = sentences(map(Estimate.from_json, summary["estimates"]))
    over = read(tables / AGGREGATED).select(*_OVER, *_NUMBERS)
    shown = (
        ("explanations", "Explanations", said),
        ("aggregates", "Scores over features, by kind and language of examples", over),
    )
    context = {
        "title": title(config),
        "description": config["description"],
        "facts": tuple(_facts(summary, config)),
        "findings": tuple(map(text.mixed, found)),
        "tables": tuple(table_view(ShownTable(*one), Pictures(None)) for one in shown if one[2].height),
        "settings": flat(dict(config)),
    }
    (out / PAGE).write_text(templates().get_template("catalogue.html.j2").render(context), encoding="utf-8")
    lines = [f"# {title(config)}\n", config["description"], *_markdown(summary, config, found)]
    (out / MARKDOWN).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out / PAGE


def _facts(summary: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"{summary['features']:,}", "features"
    yield f"{summary['explanations']:,}", "explanations"
    yield f"{summary['without_explanation']:,}", "without one"
    yield str(len(config["explainers"])), "explainers"
    yield str(len(config["scorers"])), "scorers"
    yield str(config["study"]), "study"


def _markdown(summary: Mapping[str, Any], config: Mapping[str, Any], found: tuple[str, ...]) -> Iterator[str]:
    yield from (f"- {name}: **{value}**" for value, name in _facts(summary, config))
    yield "\n## How well explanations do\n"
    yield from (f"- {line}" for line in found)
