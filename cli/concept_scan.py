"""`saeflow concept scan | top | list`: one concept in every feature of every SAE."""

import shlex
import time
from typing import Annotated, Any

import polars as pl
import typer
from rich.markup import escape

from cli.followed import FollowedScan
from cli.printed import HtmlOption, JsonOption, give, when
from cli.run import ClusterOption, missing_here, run_flow
from cli.terminal import console, warn
from core.concepts.sentences import read_sentences
from core.errors import BadInput
from core.planning.scan_survey import ScanSurvey, survey_scan
from core.reading.scans import scan_by_name
from core.store.artifacts import Artifact
from core.store.workspace import Workspace
from core.study import variant as names
from explorer.asking.answer import Answer
from flows.runtime.profiles import load_profile
from flows.runtime.scans import open_scan
from flows.runtime.settings import Settings, open_profile_path, read_settings

ConceptArgument = Annotated[
    str, typer.Argument(help="A concept's file, or the name of one in deployments/concepts.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field: --set ranking.top=200. May be repeated."),
]
_SHOWN = {
    "sae": "sae",
    "feature": "feature",
    "spearman": "spearman",
    "q_spearman": "q",
    "auroc_3_0_held_out": "AUROC",
    "auroc_3_0_held_out_low": "AUROC_low",
    "auroc_3_0_held_out_high": "AUROC_high",
}


def scan(
    concept: ConceptArgument,
    registry: Annotated[
        str | None, typer.Option(help="The SAEs: a file, or the name of one in deployments/sae-registries.")
    ] = None,
    study: Annotated[str | None, typer.Option("--study", "-s", help="The SAEs of this study, which has run.")] = None,
    model: Annotated[str | None, typer.Option(help="The model, where it is not the registry's.")] = None,
    set_: SetOption = None,
    cluster: ClusterOption = "threads",
    strict: Annotated[bool, typer.Option("--strict", help="End at the first SAE that cannot be used.")] = False,
) -> None:
    """Look for a concept in every feature of every SAE of a registry; only what is missing is made.

    Sentences with a strength of 0 to 3 are run through the model once, encoded
    by each SAE, and all features are ranked by how they go with the strength:
    chosen on one half of the sentences, scored on the other.

    [dim]saeflow concept scan aggression --study demo
    saeflow concept scan my-concept.yaml --registry gemma-2-2b-res-16k[/dim]
    """
    if registry is not None and study is not None:
        raise BadInput("--registry, --study: name one of them")
    settings = read_settings()
    given = {"registry": registry or (study and f"study:{study}"), "model": model, "strict": strict or None}
    changes = [*(set_ or ()), *(f"{name}={value}" for name, value in given.items() if value is not None)]
    opened, known = open_scan(concept, settings.workspace, changes)
    load_profile(open_profile_path(cluster))
    settings.workspace.check_writable()
    seen = survey_scan(opened, known, settings.workspace)
    found = seen.look(settings.workspace)
    warn(found.damage)
    warn([*seen.sources.warnings, *(f"{why}; it is left out" for why in seen.sources.absent.values())])
    if seen.plan is not None and {unit.artifact for unit in seen.plan} <= found.whole:
        console.print(f"[green]✓[/green] {escape(opened.title)}: everything is there already; nothing to do.")
        settings.workspace.publish_report(opened.folder, seen.plan.report.artifact)  # the link may show another one
        top = seen.plan.key
    else:
        _run(settings, seen, cluster)
        top = seen.scan.name
    console.print(f"  report  {settings.workspace.report(opened.folder) / 'report.html'}", markup=False)
    console.print(f"  top     saeflow concept top {shlex.quote(top)}", markup=False)


def _run(settings: Settings, seen: ScanSurvey, cluster: str) -> None:
    began = time.monotonic()
    if not settings.workspace.store.intact(seen.roots.split.artifact):  # a wrong table is told before servers start
        read_sentences(seen.sources.sentences, seen.scan)
    needed = missing_here(seen.plan or seen.roots.units, settings, cluster)
    followed = FollowedScan(seen, settings.workspace)
    run_flow(settings, followed, needed, "concept-scan", {"concept": seen.scan, "cluster": cluster})
    console.print(f"[green]✓[/green] {escape(seen.scan.title)} is done after {time.monotonic() - began:.0f} s.")


def top(
    concept: Annotated[
        str, typer.Argument(help="A concept that was scanned here, by name or key.", show_default=False)
    ],
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Features.")] = 20,
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """The features that go most with a concept, the best first, with their AUROC on held-out sentences.

    [dim]saeflow concept top aggression --n 20[/dim]
    """
    found = scan_by_name(read_settings().workspace, concept)
    table = found.table("top_features")
    shown = table if as_json else table.select(pl.col(name).alias(word) for name, word in _SHOWN.items())
    lines = (
        "Chosen on the selection split; AUROC (label 3 against 0) is of the held-out one, its interval over families.",
        "q corrects over all tested features of all SAEs and all measures.",
    )
    give(Answer(f"{found.title}: features", lines, {"top features": shown.head(n)}), as_json, html)


def list_(as_json: JsonOption = False, html: HtmlOption = None) -> None:
    """The scans of this workspace, the latest first."""
    workspace = read_settings().workspace
    rows = [
        (one["key"], _title(one), when(one["time"]), one["scan"]["language"], _state(workspace, one))
        for one in workspace.scans.all()
    ]
    table = pl.DataFrame(rows, schema=["key", "scan", "time", "language", "state"], orient="row")
    lines = () if rows else ("None yet; `saeflow concept scan aggression --study NAME` runs one.",)
    give(Answer("concept scans", lines, {"scans": table} if rows else {}), as_json, html)


def _state(workspace: Workspace, record: dict[str, Any]) -> str:
    """How far a scan has come, as its artefacts say."""
    for name, state in (("report", "complete"), ("ranking", "ranked")):
        if workspace.store.intact(Artifact.from_ref(record[name])):
            return state
    return "not ranked yet"


def _title(record: dict[str, Any]) -> str:
    return names.title(record["scan"])
