"""`saeflow plan`, `saeflow status`, `saeflow doctor`: look, run nothing."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cli.addresses import Addresses, addresses
from cli.printed import when
from cli.run import ClusterOption, SetOption, StudyArgument, look_over, tell_notes
from cli.terminal import console, warn
from core.data.drops import row_counts
from core.errors import BadInput
from core.planning.cost import Estimate, estimate
from core.planning.graph import Plan
from core.planning.steps import STEPS
from core.planning.survey import Survey, survey
from core.reading.records import records_of
from core.store.lineage import Look
from core.store.steps import ANALYSE
from core.store.units import Unit
from core.store.workspace import named
from core.study.variant import folder, title
from flows.pipeline_log import pipeline_log_path
from flows.running import read_marks
from flows.runtime.profiles import SlurmProfile, load_profile
from flows.runtime.settings import Settings, open_profile_path, open_study, read_settings


def plan(study: StudyArgument, set_: SetOption = None, cluster: ClusterOption = "threads") -> None:
    """Show what is cached, what would run and where, and what it would cost. Runs nothing."""
    settings = read_settings()
    open_profile_path(cluster)
    seen = survey(open_study(study, set_ or ()), settings.workspace)
    console.print(f"[bold]{escape(seen.study.title)}[/bold]  {escape(seen.study.description)}")
    warn(seen.warnings)
    found = look_over(seen, settings)
    if seen.plan is None:
        console.print("  The samples (and the model) are not prepared yet: shards and layers are named after that.")
    else:
        console.print(_plan_table(seen.plan, found, settings, cluster))
        for unit in seen.plan.stage(ANALYSE):
            if "distribution" in unit.recipe:
                console.print(f"  package  {unit.step}: {' '.join(unit.recipe['distribution'])}", markup=False)
    for name, reason in seen.skipped.items():
        console.print(f"  skipped  {name}: {reason}", markup=False)
    _tell_estimate(seen, settings, cluster)
    tell_notes(seen)


def _plan_table(plan: Plan, found: Look, settings: Settings, cluster: str) -> Table:
    table = Table("stage", "units", "cached", "to make", "other revision", "where", box=None, padding=(0, 2, 0, 0))
    for stage, units in plan.stages.items():
        cached = [unit for unit in units if unit.artifact in found.whole]
        older = sum(_other_revision(unit, settings) for unit in cached)
        pools = " + ".join(sorted({STEPS[unit.step].needs for unit in units}))
        where = cluster if cluster == "threads" else f"{cluster}: {pools}"  # threads have no pools
        missing = len(units) - len(cached)
        table.add_row(stage, str(len(units)), str(len(cached)), str(missing or ""), str(older or ""), where)
    return table


def _other_revision(unit: Unit, settings: Settings) -> bool:
    from tasks.provenance import git_revision

    made = settings.workspace.store.manifest(unit.artifact).get("provenance", {}).get("git", {})
    return bool(made.get("revision") != git_revision()["revision"] or made.get("dirty"))


def _tell_estimate(seen: Survey, settings: Settings, cluster: str) -> None:
    cost = estimate(seen, settings.workspace)
    for line in _of_the_data(seen, cost, settings):
        console.print(f"  {line}", markup=False, highlight=False)
    samples = f"{'at most ' if cost.table else ''}{cost.samples:,} samples"
    if not cost.rows:
        when = "is its factory's affair" if seen.sources.factory else "can be told once the model is converted"
        console.print(f"  {samples}; how many rows and bytes they give {when}")
        return
    gpu = f"; SAE training {cost.sae_gpu_hours:.2g} GPU-hours on an H200" if has_gpu(cluster) else ""
    console.print(
        f"  {samples}, about {cost.rows:,} rows per layer, {cost.activation_bytes / 1e9:.2f} GB of "
        f"activations; {cost.missing_bytes / 1e9:.2f} GB still to write{gpu}"
    )


def has_gpu(cluster: str) -> bool:
    """Whether the profile asks for GPUs; where it works on this machine, whether that has one."""
    profile = load_profile(open_profile_path(cluster))
    if isinstance(profile, SlurmProfile):
        return "gpu" in " ".join([profile.gpu.gres or "", *profile.gpu.directives])
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd"))


def _of_the_data(seen: Survey, cost: Estimate, settings: Settings) -> Iterator[str]:
    """The rows of the source and what becomes of them, and what looks wrong with its captions."""
    if cost.table is not None:
        faults = ", ".join(f"{field} {count:,}" for field, count in sorted(cost.table.unusable.items()))
        unusable = (
            f"{sum(cost.table.unusable.values()):,} of them cannot be used ({faults})" if faults else "all usable"
        )
        yield f"data.path: {cost.table.rows:,} rows; {unusable}"
        yield from cost.table.notes
    summary = settings.workspace.samples_summary(seen.roots.prepare)
    if summary is not None:
        yield ", ".join(f"{count:,} {what}" for what, count in row_counts(summary).items())
        yield from summary.get("notes", ())


def status(
    study: Annotated[
        str | None, typer.Argument(help="Only this study, with its variants; or one variant.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Studies, and as many scans, to show.")] = 10,
) -> None:
    """Show recent studies and concept scans of this workspace with their state and links."""
    settings = read_settings()
    workspace = settings.workspace
    records: Sequence[Mapping[str, Any]] = records_of(workspace, study) if study else workspace.records()
    scans = [] if study else workspace.scans.all()
    if not records:
        console.print("No study has run here yet. Try: saeflow run demo")
    served = addresses(settings)
    for known in (records, scans):
        for record in known[:limit]:
            _tell_record(record, settings, served)
        if len(known) > limit:
            console.print(f"[dim]{len(known) - limit} earlier ones: --limit {len(known)}[/dim]")
    if study is None:
        _tell_catalogues(settings, limit)
    console.print(f"servers  {served.words}", markup=False)
    _tell_running(settings)
    _tell_queue()


def _tell_catalogues(settings: Settings, limit: int) -> None:
    """A line for each of the latest catalogues."""
    for record in settings.workspace.catalogues.all()[:limit]:
        from cli.catalogue_tables import catalogue_state  # reads tables, which a study's state does not need

        state = catalogue_state(settings.workspace, record)
        called = f"{title(record['catalogue'])}  {record['key']}"
        console.print(f"catalogue  {called}  {when(float(record['time']))}  {state}", markup=False)


def _tell_running(settings: Settings) -> None:
    """The study runs that go on, and those that a kill has ended."""
    for mark, alive in read_marks(settings.workspace.root):
        if mark.ended:
            continue
        what = f"{mark.name}: {mark.where} since {when(mark.since)}"
        words = f"running  {what}  {mark.page}" if alive else f"killed   {what}; the next run closes it"
        console.print(words, markup=False)


def _tell_queue() -> None:
    """SLURM's view of the workers of all studies, where there is a SLURM."""
    if shutil.which("squeue") is None:
        return
    from flows.slurm.commands import my_jobs, told_shortly

    try:
        jobs = my_jobs()
    except BadInput:  # its commands are there, its controller is not: no study here can wait for it
        return
    for name in dict.fromkeys(job.name for job in jobs):
        console.print(f"SLURM  {name}: {told_shortly([job for job in jobs if job.name == name])}", markup=False)


def _tell_record(record: Mapping[str, Any], settings: Settings, served: Addresses) -> None:
    from core.store.artifacts import Artifact

    artifacts = [Artifact.from_ref(str(ref)) for ref in record["artifacts"]]
    store = settings.workspace.store
    with console.status("checking what is there"):  # the first look may have to read files
        faulty = store.faulty(artifacts)
    there, count = len(artifacts) - len(faulty), len(artifacts)
    state = f"[yellow]{there} of {count} artefacts[/yellow]" if faulty else "[green]complete[/green]"
    time = when(float(str(record["time"])))
    called, prefix = (record["scan"], "concept-") if "scan" in record else (named(record), "")
    kind = "concept scan " if prefix else ""
    console.print(f"{kind}[bold]{escape(title(called))}[/bold]  [dim]{record['key']}[/dim]  {time}  {state}")
    report, published = Artifact.from_ref(str(record["report"])), settings.workspace.report(prefix + folder(called))
    if report not in faulty:
        place = published if published.resolve() == store.path(report).resolve() else store.path(report)
        console.print(f"  report  {place / 'report.html'}", markup=False)
    log = pipeline_log_path(settings.workspace.root, prefix + str(called["name"]))
    if log.is_file():
        console.print(f"  log     {log}", markup=False)
    if (link := record.get("mlflow")) and served.mlflow.state == "up":
        console.print(f"  MLflow  {served.rebased(str(link))}", markup=False)
    if (run := record.get("flow_run")) and served.prefect.state == "up":
        console.print(f"  Prefect  {served.prefect.url}/runs/flow-run/{run}", markup=False)


def doctor(
    study: Annotated[str | None, typer.Argument(help="Check disk and model against this study.")] = None,
) -> None:
    """Check versions, GPU, fonts, workspace, disk, model files and servers."""
    from cli.checks import Check, all_checks, show

    settings = read_settings()
    seen, faults = None, list[Check]()
    try:
        seen = survey(open_study(study), settings.workspace) if study else None
    except (BadInput, OSError) as error:  # one of the things a doctor tells, beside the others
        faults.append(Check("study", False, str(error)))
    if not show(chain(faults, all_checks(seen, settings))):
        raise SystemExit(1)
