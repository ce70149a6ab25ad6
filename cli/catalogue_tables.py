"""`saeflow catalogue list | show`: catalogues of this workspace, their scores, and one feature."""

from typing import Annotated, Any, NamedTuple

import polars as pl
import typer

from cli.printed import HtmlOption, JsonOption, give, when
from core.errors import BadInput
from core.explain.metrics import ALL
from core.explain.named import FROZEN
from core.reading.catalogues import OpenedCatalogue, catalogue_by_name
from core.store.artifacts import Artifact
from core.store.workspace import Workspace
from core.study.catalogue import source_of
from core.study.variant import title
from explorer.asking.answer import Answer
from flows.runtime.settings import read_settings

CatalogueName = Annotated[
    str, typer.Argument(metavar="NAME", help="A catalogue that was made here, by name or key.", show_default=False)
]
_OVER = ("explainer", "scorer", "metric", "chance", "n", "mean", "low", "high")
_FLOOR = ("frozen_mean", "difference", "difference_low", "difference_high")


def list_(as_json: JsonOption = False, html: HtmlOption = None) -> None:
    """The catalogues of this workspace, the latest first."""
    workspace = read_settings().workspace
    rows = [
        (
            one["key"],
            title(one["catalogue"]),
            when(one["time"]),
            source_of(one["catalogue"]),
            catalogue_state(workspace, one),
        )
        for one in workspace.catalogues.all()
    ]
    table = pl.DataFrame(rows, schema=["key", "catalogue", "time", "study", "state"], orient="row")
    lines = () if rows else ("None yet; `saeflow catalogue make demo` makes one.",)
    give(Answer("catalogues", lines, {"catalogues": table} if rows else {}), as_json, html)


def catalogue_state(workspace: Workspace, record: dict[str, Any]) -> str:
    """How far a catalogue has come, as its artefacts say."""
    if workspace.store.intact(Artifact.from_ref(record["tables"])):
        return "complete"
    there = sum(workspace.store.path(Artifact.from_ref(ref)).is_dir() for ref in record["artifacts"])
    return f"{there} of {len(record['artifacts'])} units"


def show(
    catalogue: CatalogueName,
    layer: Annotated[int | None, typer.Option("--layer", "-l", min=0, help="With --feature: its layer.")] = None,
    feature: Annotated[int | None, typer.Option("--feature", "-f", min=0, help="One feature.")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="With --feature: of the frozen dictionary.")] = False,
    sae: Annotated[str | None, typer.Option("--sae", help="With --feature: its SAE, in place of its layer.")] = None,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """How well explanations do per explainer and scorer; or one feature's explanations and scores.

    Means are over features, with their interval over features; where the study
    has a frozen dictionary, the same for its features and the difference.

    [dim]saeflow catalogue show demo
    saeflow catalogue show demo --layer 17 --feature 57[/dim]
    """
    opened = catalogue_by_name(read_settings().workspace, catalogue)
    if feature is None:
        give(_aggregates(opened), as_json, html)
        return
    give(feature_answer(opened, sae_of(opened, Which(layer, frozen, sae)), feature), as_json, html)


def _aggregates(opened: OpenedCatalogue) -> Answer:
    whole = pl.col("sae_id", "example_kind", "language") == ALL
    table = opened.aggregates.filter(pl.all_horizontal(whole))
    floor = _FLOOR if table["frozen_n"].drop_nulls().len() else ()
    said = opened.explanations
    lines = (
        f"{said.select('sae_id', 'feature_id').unique().height:,} features of {len(opened.saes)} SAEs; "
        f"{said['text'].count():,} explanations, {said['text'].null_count():,} without text.",
        f"Tables: {opened.folder}",
    )
    return Answer(f"{opened.title}: scores over features", lines, {"scores": table.select(*_OVER, *floor)})


class Which(NamedTuple):
    """Which SAE of a catalogue is meant: that of a layer, its frozen dictionary, or the one of a name."""

    layer: int | None
    frozen: bool
    sae: str | None


def sae_of(opened: OpenedCatalogue, which: Which) -> str:
    """The SAE, as the catalogue's tables call it.

    Raises:
        BadInput: there is none, or the layer is to be named.
    """
    saes = [sae for sae in opened.saes if which.sae in (None, sae)]
    if which.sae is None:
        saes = [sae for sae in saes if sae.endswith(FROZEN) == which.frozen]
    if which.layer is not None:
        saes = [sae for sae in saes if sae.removesuffix(FROZEN).endswith(f"/layer_{which.layer}")]
    if len(saes) == 1:
        return saes[0]
    asked = "--layer: name one" if saes else "--layer, --sae: no such SAE is in it"
    raise BadInput(f"{asked}; {opened.title} has {', '.join(opened.saes) or 'none'}")


def feature_answer(opened: OpenedCatalogue, sae_id: str, feature: int) -> Answer:
    """One feature's explanations and scores.

    Raises:
        BadInput: the catalogue does not have it.
    """
    said = opened.explanations.filter((pl.col("sae_id") == sae_id) & (pl.col("feature_id") == feature))
    if not said.height:
        features = opened.explanations.filter(pl.col("sae_id") == sae_id)["feature_id"].unique().sort()
        near = ", ".join(map(str, features.head(8))) + (", …" if len(features) > 8 else "")
        raise BadInput(f"--feature {feature}: is not in {opened.title}; of {sae_id} it has {near}")
    scores = opened.of_feature("scores", sae_id, feature).filter(pl.col("language") == ALL)
    told = said.select("explainer", "language", "text", "failure")
    columns = ("explainer", "scorer", "example_kind", "metric", "value", "low", "high", "n")
    shown = scores.select(*columns, "n_failed").rename({"low": "value_low", "high": "value_high"})
    tables = {"explanations": told, "scores": shown}
    return Answer(f"{sae_id}, feature {feature}", (), tables)
