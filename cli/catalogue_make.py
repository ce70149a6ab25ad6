"""`saeflow catalogue make`: a catalogue from a study that has run to its published tables."""

import shlex
import time
from typing import Annotated

import typer
from rich.markup import escape

from cli.followed import FollowedPlan
from cli.run import ClusterOption, missing_here, run_flow
from cli.terminal import console, warn
from core.planning.catalogue_survey import CatalogueSurvey
from flows.runtime.catalogues import check_profiles, forget_unanswered, open_catalogue, survey_opened
from flows.runtime.profiles import load_profile
from flows.runtime.settings import Settings, open_profile_path, read_settings

CatalogueFile = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE",
        help="A catalogue's file, or the name of one in deployments/catalogues.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field: --set features.per_layer=5. May be repeated."),
]
StudyOption = Annotated[
    str | None, typer.Option("--study", "-s", help="The study, which has run (default: the catalogue's own).")
]


def make(
    catalogue: CatalogueFile,
    study: StudyOption = None,
    set_: SetOption = None,
    cluster: ClusterOption = "threads",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count questions, tokens and money; send nothing, make nothing.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Ask again what got no usable answer; refusals are kept and stay.")
    ] = False,
) -> None:
    """Explain features, score the explanations, embed both, and publish the tables; only what is missing is made.

    Chat models are asked over any OpenAI-compatible endpoint that a profile of
    the file names; its key is read from the environment. Answers are kept, and
    a budget is reserved before each question. A run that was stopped or spent
    its budget goes on where it was when the same command is given again.

    [dim]saeflow catalogue make demo
    saeflow catalogue make demo --dry-run
    saeflow catalogue make my-catalogue.yaml --study demo --set profiles.mine.budget.money=5[/dim]
    """
    settings = read_settings()
    config = open_catalogue(catalogue, [*(set_ or ()), *([f"study={study}"] if study else [])])
    load_profile(open_profile_path(cluster))
    seen = survey_opened(config, settings.workspace)
    if retry and not dry_run and (again := forget_unanswered(seen, settings.workspace)):
        console.print(f"{again} units with unusable answers are made again.")
    found = seen.look(settings.workspace)
    warn(found.damage)
    missing = [unit for unit in seen.plan if unit.artifact not in found.whole]
    if dry_run:
        from cli.catalogue_cost import tell_cost

        tell_cost(seen, settings.workspace, len(missing))
        return
    settings.workspace.check_writable()
    if not missing:
        console.print(f"[green]✓[/green] {escape(config.title)}: everything is there already; nothing to do.")
        settings.workspace.publish_catalogue(seen.plan.name, seen.plan.tables.artifact)  # the links may show others
        settings.workspace.publish_report(config.folder, seen.plan.report.artifact)
    else:
        check_profiles(config, missing)
        _run(settings, seen, cluster)
    _tell_links(seen, settings)


def _run(settings: Settings, seen: CatalogueSurvey, cluster: str) -> None:
    began = time.monotonic()
    needed, followed = missing_here(seen.plan, settings, cluster), FollowedPlan(seen.plan)
    run_flow(settings, followed, needed, "feature-catalogue", {"catalogue": seen.config, "cluster": cluster})
    console.print(f"[green]✓[/green] {escape(seen.config.title)} is done after {time.monotonic() - began:.0f} s.")


def _tell_links(seen: CatalogueSurvey, settings: Settings) -> None:
    console.print(f"  tables  {settings.workspace.published_catalogue(seen.plan.name)}", markup=False)
    console.print(f"  report  {settings.workspace.report(seen.config.folder) / 'report.html'}", markup=False)
    console.print(f"  show    saeflow catalogue show {shlex.quote(seen.plan.name)}", markup=False)
