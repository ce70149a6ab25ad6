"""`saeflow concept feature`: one feature of a scan, the commands that go on with it, and steering with it."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from cli.explore import PORT
from cli.feature_options import FeatureArgument
from cli.printed import HtmlOption, JsonOption, give
from core.errors import BadInput
from core.planning.scan_sources import read_scan_sources
from core.planning.survey import reader_of
from core.reading.scans import scan_by_name, study_of
from core.store.workspace import Workspace
from core.study.concept_scan import ConceptScan, OutputConfig
from core.study.sites import STREAM
from explorer.asking.scanned_feature import Named, scanned_feature
from explorer.dashboard.links import feature_at
from flows.runtime.scans import open_scan
from flows.runtime.settings import read_settings

_CONTROLS = 19


def feature(
    concept: Annotated[
        str, typer.Argument(help="A concept that was scanned here, by name or key.", show_default=False)
    ],
    sae: Annotated[str, typer.Argument(metavar="SAE", help="The SAE's key in the scan.", show_default=False)],
    number: FeatureArgument,
    each: Annotated[int, typer.Option("--examples", min=1, help="Sentences of each label.")] = 2,
    steer: Annotated[
        float | None,
        typer.Option(
            metavar="DOSE",
            help="Continue --prompt with the feature added to the stream: DOSE times its 99.5th percentile where it "
            "fires; below 0 it is taken away.",
            show_default=False,
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="With --steer: the beginning of a sentence; repeatable.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, max=200, help="With --steer: tokens to write.")] = 20,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """One feature of a scan: its rank and scores, what it fires on, and the commands that go on with it.

    [dim]saeflow concept feature aggression demo/layer_17 95
    saeflow concept feature aggression demo/layer_17 95 --steer 1 --prompt "In the park, a tired"[/dim]
    """
    if (steer is None) != (not prompt):
        raise BadInput('--steer, --prompt: give both, as in --steer 1 --prompt "In the park, a"')
    workspace = read_settings().workspace
    named = Named(scan_by_name(workspace, concept), sae, number)
    answer = scanned_feature(named, each)
    if steer is not None and prompt:
        table = _steered(workspace, named, steer, prompt, tokens)
        answer = replace(answer, lines=(*answer.lines, _said(steer, table)), tables={"continuations": table})
    else:
        answer = replace(answer, lines=(*answer.lines, *_going_on(workspace, named)))
    give(answer, as_json, html)


def _going_on(workspace: Workspace, named: Named) -> Iterator[str]:
    scan, layer = named.scan, int(named.scan.saes[named.sae]["layer"])
    own = shlex.join([scan.record["key"], named.sae, str(named.feature)])
    yield f"Steer with it:  saeflow concept feature {own} --steer 1 --prompt TEXT"
    study = study_of(workspace, scan, named.sae)
    if study is None:
        folder = str(scan.scanned(named.sae).folder)
        yield f"Read it in Python:  saeflow.open_store(data_dir={folder!r}).activations({named.feature})"
        return
    at = shlex.join([str(named.feature), "--study", study.title, "--layer", str(layer)])
    yield f"In the study that its SAE is from:  saeflow feature overview {at}"
    yield f"What varying inputs and taking it out do there:  saeflow feature investigate {at}"
    page = f"http://127.0.0.1:{PORT}{feature_at(study.key, layer, named.feature)}"
    yield f"In the explorer:  saeflow explore {shlex.quote(study.key)}  and then {page}"


def _said(dose: float, table: pl.DataFrame) -> str:
    other = "with another feature of the SAE that fires as often, at the same length"
    none = "no other feature of the SAE fires as often, so that nothing is compared"
    beside = none if table["other_feature"].is_null().all() else other
    return (
        f"Continuations (dose {dose:g}): by itself, with the feature, and {beside}. Each is one greedy text: "
        "an example, from which no effect follows; output scores are measured against controls."
    )


def _steered(workspace: Workspace, named: Named, dose: float, texts: list[str], most: int) -> pl.DataFrame:
    """The continuations; see `core.concepts.continued`.

    Raises:
        BadInput: the feature never fires or reads another site, or model or SAE are not those of the scan.
    """
    scan, scanned = named.scan, named.scan.scanned(named.sae)
    if scan.saes[named.sae]["site"] != STREAM:
        raise BadInput(f"--steer: {named.sae} reads {scan.saes[named.sae]['site']}; only SAEs of the stream can steer")
    if not len(scanned.activations(named.feature)[0]):
        raise BadInput(
            f"--steer: feature {named.feature} of {named.sae} fires on no sentence, so that no dose is known"
        )
    folder, model, asked = _as_scanned(workspace, named)
    import torch  # seconds, which looking need not pay

    from core.concepts.continued import Steered, continuations
    from core.concepts.promoted import promoted_features
    from core.lm.loading import load_model
    from core.sae.pretrained import open_pretrained

    opened = open_pretrained(folder, None)
    own = pl.DataFrame({"sae": [named.sae], "feature": [named.feature], "spearman": [1.0]})  # as it is, not by sign
    config = OutputConfig(features=1, controls=_CONTROLS, seed=asked.seed)
    (promoted,) = promoted_features(own, [scanned.folder], lambda _: opened, config)
    loaded = load_model(model, asked.compute_dtype, "cuda" if torch.cuda.is_available() else "cpu")
    return continuations(loaded, opened, promoted, Steered(texts, asked.language, dose, most))


def _as_scanned(workspace: Workspace, named: Named) -> tuple[Path, Path, ConceptScan]:
    """The folders of SAE and model, if they still hold what was scanned, and the scan's settings."""
    asked, registry = open_scan(ConceptScan.model_validate(named.scan.record["scan"]), workspace)
    reader = reader_of(workspace)
    sources = read_scan_sources(asked, registry, reader)
    reader.memo.save()
    recipe = named.scan.encoding(named.sae).recipe
    there = next((one for one in sources.saes if one.entry.key == named.sae), None)
    if there is None or there.content != recipe["content"]:
        raise BadInput(f"--steer: {named.sae} is no longer the SAE that was scanned; scan again")
    folder = sources.model.folder
    if folder is None or sources.model.content != recipe["model"]:
        raise BadInput(f"--steer: the model is no longer the one that {named.scan.title} read; scan again")
    return there.folder, folder, asked
