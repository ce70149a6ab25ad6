"""`saeflow compare`: two studies, variants or layers side by side."""

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cli.addresses import addresses
from cli.terminal import console
from core.data.languages import LANGUAGE_NAMES
from core.reading.comparison import SAE, Comparison, Row, Side, Value, compare, open_side
from core.stats.estimate import number_of
from core.study.variant import shown
from flows.runtime.settings import TRAINING_RUNS, Settings, read_settings

_SIDE = "A study's name, a variant's title or key as `saeflow status` lists them, or one's layer: demo:17."


def compare_(
    left: Annotated[str, typer.Argument(metavar="A", help=_SIDE, show_default=False)],
    right: Annotated[str, typer.Argument(metavar="B", help="The same.", show_default=False)],
    every: Annotated[bool, typer.Option("--all", help="Every estimate, not the headline ones alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show two studies, variants or layers side by side: settings that differ, estimates with their intervals, and the
    questions on which their verdicts differ.

    [dim]saeflow compare demo demo+sae.k=32  ·  saeflow compare demo:3 demo:17[/dim]
    """
    settings = read_settings()
    sides = [open_side(settings.workspace, asked) for asked in (left, right)]
    found = compare(*sides)
    rows = [row for row in found.rows if every or row.answers or sides[0].layer is not None]
    link = _mlflow(sides, settings)
    if as_json:
        typer.echo(json.dumps(_as_json(found, rows, link), indent=1, ensure_ascii=False))
        return
    console.print(f"[bold]A[/bold]  {escape(sides[0].title)}   [dim]{sides[0].study.key}[/dim]")
    console.print(f"[bold]B[/bold]  {escape(sides[1].title)}   [dim]{sides[1].study.key}[/dim]")
    _tell_settings(found)
    _tell_rows(found, rows)
    _tell_verdicts(found)
    console.print(f"  MLflow  {link or addresses(settings).words}", markup=False)


def _tell_settings(found: Comparison) -> None:
    if found.same_settings_other_results:
        console.print("  No setting differs, yet their results do: other data or weights there, or other code.")
    elif not found.settings:
        console.print("  No setting differs.")
    else:
        table = _table("setting", "A", "B")
        for field, values in found.settings.items():
            table.add_row(field, *(escape("–" if value is None else shown(value)) for value in values))
        console.print(table)


def _tell_rows(found: Comparison, rows: list[Row]) -> None:
    table = _table("estimate", "", "A", "B", "intervals")
    for row in rows:
        overlap = {None: "", True: "overlap", False: "[bold]apart[/bold]"}[row.overlap]
        both = (_words(value, row.unit) for value in (row.left, row.right))
        name = f"{row.analysis} {row.name}{_of(row.concept, found)}"
        table.add_row(escape(name), escape(_quantity(row)), *both, overlap)
    if rows:
        console.print(table)
    if not any(row.analysis != SAE for row in rows):
        console.print("  No estimate is there to compare.")
    elif left := len(found.rows) - len(rows):
        console.print(f"  [dim]{left} further estimates: --all[/dim]")


def _tell_verdicts(found: Comparison) -> None:
    """The questions that the two sides answer differently, and on how many they agree."""
    both = [one for one in found.answers if None not in (one.left, one.right)]
    differ = [one for one in both if one.differs]
    for one in differ:
        where = LANGUAGE_NAMES.get(one.language, "all languages")
        told = f"{one.analysis}{_of(one.concept, found)} ({where}): {one.left} in A, {one.right} in B"
        console.print(
            f"  [bold]Verdicts differ[/bold]  {escape(told)}{escape(f': {one.question}' if one.question else '')}"
        )
    if both:
        console.print(f"  Verdicts agree on {len(both) - len(differ)} of {len(both)} answers that both sides have.")
    if alone := len(found.answers) - len(both):
        console.print(f"  [dim]On one side alone: {number_of(alone, 'answer')}.[/dim]")


def _of(concept: str, found: Comparison) -> str:
    """` of place`, where the sides asked about several concepts."""
    return f" of {concept}" if concept and len(found.concepts) > 1 else ""


def _quantity(row: Row) -> str:
    unit = "%" if row.unit in ("share", "points") else row.unit
    return f"{row.quantity}, {unit}" if unit and unit.lower() not in row.quantity.lower() else row.quantity


def _words(value: Value | None, unit: str) -> str:
    if value is None or not math.isfinite(value.value):
        return "–"
    scale = 100.0 if unit in ("share", "points") else 1.0
    number = f"{scale * value.value:.3g}"
    if value.low is not None and value.high is not None:
        number += escape(f" [{scale * value.low:.3g}, {scale * value.high:.3g}]")
    return number if value.verdict == "not tested" else f"{number} [dim]{value.verdict}[/dim]"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _as_json(found: Comparison, rows: list[Row], link: str | None) -> dict[str, Any]:
    sides = {"left": found.left, "right": found.right}
    return {
        **{name: {"title": side.title, "key": side.study.key, "layer": side.layer} for name, side in sides.items()},
        "settings": {field: {"left": one, "right": other} for field, (one, other) in found.settings.items()},
        "estimates": [{**_finite(asdict(row)), "intervals_overlap": row.overlap} for row in rows],
        "verdicts": [{**asdict(one), "differs": one.differs} for one in found.answers],
        "mlflow": link,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mlflow(sides: list[Side], settings: Settings) -> str | None:
    """MLflow's page that compares the two runs, where its server answers and knows both."""
    served = addresses(settings).mlflow
    if served.state != "up":
        return None
    found = [_run(served.url, side) for side in sides]
    if None in found or len(set(found)) < len(sides):
        return None
    runs, experiments = ([one[place] for one in found if one] for place in (0, 1))
    asked = {"runs": json.dumps(runs), "experiments": json.dumps(sorted(set(experiments)))}
    query = urllib.parse.urlencode(asked, quote_via=urllib.parse.quote)
    return f"{served.url}/#/compare-runs{TRAINING_RUNS}&{query}"


def _run(mlflow: str, side: Side) -> tuple[str, str] | None:
    """The ids of a side's run and experiment: of a layer those of its SAE."""
    experiment, _, run = side.study.mlflow.partition("/#/experiments/")[2].partition("?")[0].partition("/runs/")
    if not run:
        return None
    made = side.study.sae_artifact(side.layer) if side.layer is not None else None
    if made is None:
        return run, experiment
    query = {"experiment_ids": [experiment], "filter": f"tags.`saeflow.artifact` = '{made.ref}'", "max_results": 1}
    asked = urllib.request.Request(
        f"{mlflow}/api/2.0/mlflow/runs/search", json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            runs = json.load(answer).get("runs", [])
    except (urllib.error.URLError, OSError, ValueError):
        return None
    return (str(runs[0]["info"]["run_id"]), experiment) if runs else None
