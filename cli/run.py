"""`saeflow run`: a study from samples to its report."""

import os
import shlex
import time
from collections.abc import Iterable
from importlib import import_module
from itertools import chain
from typing import Annotated

import typer
from rich.markup import escape

from cli.addresses import Addresses, addresses
from cli.flow_runs import close_left_over
from cli.followed import Followed, FollowedStudy
from cli.terminal import complain, console, continues, warn
from core.planning.loading import study_file
from core.planning.study import Study
from core.planning.survey import Survey, survey
from core.store.lineage import Look
from core.store.steps import CAPTURE
from core.store.units import Unit
from core.store.workspace import meant
from flows.runtime.environment import work_in
from flows.runtime.profiles import load_profile
from flows.runtime.settings import Settings, open_profile_path, open_study, read_settings, study_folders

_STUDY_HELP = "A study file, the name of one in deployments/studies, or of a study that has run here."
StudyArgument = Annotated[str, typer.Argument(help=_STUDY_HELP, show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the study: --set sae.k=64. May be repeated."),
]
ClusterOption = Annotated[str, typer.Option(help="Where the work runs: a profile of deployments/clusters.")]


def run(
    study: StudyArgument,
    set_: SetOption = None,
    cluster: ClusterOption = "threads",
    record: Annotated[
        bool, typer.Option("--record", help="Make a flow run even when everything is there already.")
    ] = False,
    submit: Annotated[
        bool, typer.Option("--submit", help="Run the flow itself as a small job of the SLURM profile, too.")
    ] = False,
) -> None:
    """Run a study to its report; only what is missing is made.

    [dim]saeflow run demo
    saeflow run demo --set sae.k=32
    saeflow run my-study.yaml --cluster local[/dim]
    """
    settings = read_settings()
    opened = open_study(study, set_ or ())
    load_profile(open_profile_path(cluster))
    settings.workspace.check_writable()
    seen = survey(opened, settings.workspace)
    warn(seen.warnings)
    found = look_over(seen, settings)
    if not record and seen.plan is not None and {unit.artifact for unit in seen.plan} <= found.whole:
        _tell_whole(seen, settings)
        return
    _preflight(seen, settings, cluster)
    if submit:
        place = str(study_file(study, study_folders()) or study)  # the job starts in another folder
        _submit(opened, settings, cluster, ["run", place, *chain.from_iterable(("--set", item) for item in set_ or ())])
        return
    tell_notes(seen)
    began = time.monotonic()
    execute(settings, seen, "full-analysis", {"study": opened, "cluster": cluster})
    _tell_done(opened, settings, time.monotonic() - began)


def _submit(study: Study, settings: Settings, cluster: str, words: list[str]) -> None:
    from cli.cluster import open_slurm_profile
    from flows.slurm.submit import submit_flow

    profile = open_slurm_profile(cluster)
    job_id, log = submit_flow(
        profile, study.name, [*words, "--cluster", str(open_profile_path(cluster))], settings.workspace.root
    )
    console.print(f"[green]✓[/green] {study.name} is handed in as job {job_id}; what it prints: {log}", highlight=False)


def _tell_whole(seen: Survey, settings: Settings) -> None:
    assert seen.plan is not None
    report = settings.workspace.publish_report(seen.study.folder, seen.plan.report.artifact)
    count = sum(1 for _ in seen.plan)
    console.print(
        f"[green]✓[/green] {escape(seen.study.title)}: everything is there already ({count} artefacts); nothing to do."
    )
    _tell_links(seen.study, report, settings)
    console.print("  [dim]saeflow run --record makes a flow run that shows every unit as Cached.[/dim]")


def _tell_done(study: Study, settings: Settings, seconds: float) -> None:
    console.print(f"[green]✓[/green] {escape(study.title)} is done after {seconds:.0f} s.")
    _tell_links(study, settings.workspace.report(study.folder) / "report.html", settings)
    if study.variant:
        console.print(f"  compare  saeflow compare {shlex.quote(study.name)} {shlex.quote(study.folder)}", markup=False)


def look_over(seen: Survey, settings: Settings) -> Look:
    """What of the study is there; what is damaged is told. The first look may have to read files."""
    with console.status("checking what is there"):
        found = seen.look(settings.workspace)
    warn(found.damage)
    return found


def tell_notes(seen: Survey) -> None:
    """Say what is read otherwise than it is stored."""
    for note in seen.notes:
        console.print(f"  note     {note}", markup=False)


def _tell_links(study: Study, report: object, settings: Settings) -> None:
    served = addresses(settings)
    console.print(f"  report  {report}", markup=False)
    link = next((one.get("mlflow") for one in meant(settings.workspace.records(), study.folder)), None)
    if link and served.mlflow.state == "up":
        console.print(f"  MLflow  {served.rebased(str(link))}", markup=False)
    console.print(f"  browse  {served.words}", markup=False)


def _preflight(seen: Survey, settings: Settings, cluster: str) -> None:
    from cli.checks import preflight

    preflight(seen, settings, cluster)


def execute(settings: Settings, seen: Survey, flow: str, parameters: dict[str, object]) -> object:
    """Run a study's flow in this process beside a live table; a failure ends the command with the flow's own words."""
    layer, analyses = parameters.get("layer"), bool(parameters.get("analyses"))
    followed = FollowedStudy(seen, settings.workspace, layer if isinstance(layer, int) else None, analyses)
    return run_flow(settings, followed, _steps_here(seen, settings, str(parameters["cluster"])), flow, parameters)


def run_flow(
    settings: Settings, followed: Followed, needed: set[str], flow: str, parameters: dict[str, object]
) -> object:
    """Run a flow in this process beside a live table of what it makes; `needed` are steps that this process will run.
    A failure ends the command with the flow's own words."""
    from cli.live import LiveTable
    from cli.servers import prefect_api

    continues()
    work_in(settings.workspace.root / "prefect")
    served = addresses(settings)
    with LiveTable(followed, settings) as table:
        table.say("starting the Prefect server, loading libraries")
        with prefect_api(settings, meanwhile=lambda: _load_flows(needed)) as api:
            _load_flows(needed)
            _tell_servers(served, api)
            close_left_over(settings, api)
            from cli.flow_call import call_flow

            table.say("")
            outcome = call_flow(flow, parameters)
    if outcome.error is not None:
        complain(outcome.error)
        raise SystemExit(1)
    return outcome.value


def _steps_here(seen: Survey, settings: Settings, cluster: str) -> set[str]:
    """The steps that this process itself will surely run."""
    units = seen.plan or seen.roots.units
    missing = missing_here(units, settings, cluster)
    return missing if seen.plan is not None or not missing else {*missing, CAPTURE.name}


def missing_here(units: Iterable[Unit], settings: Settings, cluster: str) -> set[str]:
    """The steps of units that are not there yet, where this process makes them itself."""
    if load_profile(open_profile_path(cluster)).kind != "threads":
        return set()
    return {unit.step for unit in units if not settings.workspace.store.intact(unit.artifact)}


def _load_flows(steps: set[str]) -> None:
    """Import Prefect, which reads its settings then: those of the API that is used; then the code of these steps."""
    # The terminal belongs to the live table; Prefect's own lines are in its UI and in the units' logs.
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    import_module("cli.flow_call")
    import_module("tasks.registry").load_steps(steps)


def _tell_servers(served: Addresses, api: str) -> None:
    """Print where the run is seen, and let its links name the port that MLflow has."""
    if served.mlflow.state == "up":
        os.environ["SAEFLOW_MLFLOW_URL"] = served.mlflow.url
    here = "" if served.prefect.state == "up" else " (until this run ends)"
    mlflow = f" · MLflow {served.mlflow.url}" if served.mlflow.state == "up" else ""
    console.print(f"  Prefect {api.removesuffix('/api')}{here}{mlflow}", markup=False)
