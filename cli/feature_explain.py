"""`saeflow feature explain`: one feature explained on demand, with the answers that catalogues keep."""

import uuid
from collections.abc import Sequence
from typing import Annotated

import polars as pl
import typer

from cli.bar import bar
from cli.feature_options import FeatureArgument
from cli.printed import HtmlOption, JsonOption, give
from cli.terminal import continues
from core.errors import BadInput
from core.explain.marking import marked
from core.explain.metrics import ALL
from core.planning.catalogue_memory import InMemory
from core.planning.catalogue_survey import CatalogueSurvey
from core.progress import Progress
from core.store.steps import COLLECT_EXAMPLES
from core.store.units import Unit
from core.store.workspace import Workspace
from core.study.catalogue import CatalogueConfig
from explorer.asking.answer import Answer
from flows.runtime.settings import read_settings
from tasks.asking import open_asked, open_embedder

_SHOWN = 8
"""Examples that are printed, the strongest."""
_EXPLAINS, _SCORES = "explainer", "scorer"


def explain(
    feature: FeatureArgument,
    layer: Annotated[int, typer.Option("--layer", "-l", min=0, help="Its layer.", show_default=False)],
    study: Annotated[str | None, typer.Option("--study", "-s", help="The study (default: the catalogue's).")] = None,
    catalogue: Annotated[
        str, typer.Option("--catalogue", "-c", help="The catalogue whose explainers and scorers are asked.")
    ] = "demo",
    explainer: Annotated[
        list[str] | None, typer.Option("--explainer", help="One of its explainers (default: all); repeatable.")
    ] = None,
    score: Annotated[bool, typer.Option("--score", help="Score the explanations, too.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one of its fields; repeatable.")
    ] = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Say what one feature means: ask the explainers of a catalogue now, and show the examples that they saw.

    Prompts and kept answers are those of `saeflow catalogue make`: what was
    asked there is not paid for again, and the other way round.

    [dim]saeflow feature explain 57 --layer 17
    saeflow feature explain 57 --layer 17 --catalogue my-catalogue.yaml --score[/dim]
    """
    from flows.runtime.catalogues import check_profiles, open_catalogue, survey_one

    workspace = read_settings().workspace
    config = open_catalogue(catalogue, [*(set_ or ()), *([f"study={study}"] if study else [])])
    seen = survey_one(_of_one(config, feature, layer, explainer or ()), workspace)
    units = [unit for unit in seen.plan if _EXPLAINS in unit.recipe or (score and _SCORES in unit.recipe)]
    check_profiles(config, units)
    continues()  # answers are kept
    with bar("asking") as progress:
        give(_answer(seen, units, workspace, progress), as_json, html)


def _of_one(config: CatalogueConfig, feature: int, layer: int, names: Sequence[str]) -> CatalogueConfig:
    """The catalogue with one feature, and the explainers that are named or all.

    Raises:
        BadInput: there is no such explainer.
    """
    known = {one.name: one for one in config.explainers}
    if missing := next((name for name in names if name not in known), None):
        raise BadInput(f"--explainer {missing}: {config.name} has {', '.join(known)}")
    chosen = tuple(known[name] for name in names) or config.explainers
    only = config.features.model_copy(update={"only": {layer: (feature,)}})
    return config.model_copy(update={"features": only, "layers": (layer,), "explainers": chosen})


def _answer(seen: CatalogueSurvey, units: Sequence[Unit], workspace: Workspace, progress: Progress) -> Answer:
    run = f"explain-{uuid.uuid4()}"
    memory = InMemory(seen.plan, workspace, lambda unit: open_asked(unit, workspace, run, "cpu"))
    said = [memory.explained(unit, progress) for unit in units if _EXPLAINS in unit.recipe]
    scores = [memory.scored(unit, open_embedder(unit), progress=progress) for unit in units if _SCORES in unit.recipe]
    told = pl.concat(said).select("explainer", "language", "text", "failure")
    _, shown = memory.examples(seen.plan.stage(COLLECT_EXAMPLES)[0].artifact)
    tables = {"explanations": told, "examples": _examples(shown)}
    if scores:
        whole = pl.concat(scores).filter((pl.col("example_kind") == ALL) & (pl.col("language") == ALL))
        columns = ("explainer", "scorer", "metric", "value", "low", "high", "n", "n_failed")
        tables["scores"] = whole.select(columns).rename({"low": "value_low", "high": "value_high"})
    (sae,) = seen.sources.saes
    return Answer(f"{sae.sae_id}, feature {sae.features[0]}", (), tables)


def _examples(shown: pl.DataFrame) -> pl.DataFrame:
    """The strongest examples that explainers see, their active tokens marked."""
    own = shown.filter(pl.col("use") == "explain").head(_SHOWN)
    rows = [
        {
            "band": row["quantile"],
            "largest": max([*row["values"], *(row["map_cells"] or ())], default=0.0),
            "example": marked(row["tokens"], [place for place, value in enumerate(row["values"]) if value > 0]),
            "image": row["image"],
        }
        for row in own.iter_rows(named=True)
    ]
    schema = {"band": pl.UInt8, "largest": pl.Float64, "example": pl.String, "image": pl.String}
    return pl.DataFrame(rows, schema)
