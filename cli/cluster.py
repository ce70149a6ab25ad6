"""`saeflow cluster`: is a SLURM profile right, before any GPU-hour is spent; and which jobs are a study's."""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table

from cli.terminal import console
from core.errors import BadInput
from flows.runtime.environment import work_in
from flows.runtime.profiles import SlurmProfile, load_profile
from flows.runtime.settings import Settings, open_profile_path, read_settings

app = typer.Typer(no_args_is_help=True, help="SLURM: check a profile, list a study's jobs.")
_SIGNS = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "wrong": "[red]✗[/red]"}


@app.command()
def check(
    profile: Annotated[str, typer.Argument(help="A profile of deployments/clusters, or a file.", show_default=False)],
    wait: Annotated[float, typer.Option(help="Seconds to wait for the two small jobs; 0 hands none in.")] = 300.0,
) -> None:
    """Try a profile: SLURM's commands, job scripts, what of your own would change a job, and one small job per pool.

    Two small jobs are run, one a pool: do they see the workspace, the modules,
    Prefect, MLflow, a GPU?

    [dim]saeflow cluster check durham-ncc
    saeflow cluster check durham-ncc --wait 0 asks sbatch alone[/dim]
    """
    from flows.slurm.check import check_login_node, check_submission, orders
    from flows.slurm.job import example_script
    from flows.slurm.surroundings import check_surroundings

    settings = read_settings()
    settings.workspace.check_writable()
    opened = open_slurm_profile(profile)
    for pool, order in orders(opened, settings.workspace.root).items():
        console.rule(f"job script of a {pool} worker", align="left", style="dim")
        console.print(example_script(order), markup=False, highlight=False, soft_wrap=True)
    console.rule("findings", align="left", style="dim")
    wrong = _show([*check_submission(opened, settings.workspace.root), *check_login_node(), *check_surroundings()])
    if wrong == 0 and wait > 0:
        wrong += _check_workers(opened, settings, wait)
    if wrong:
        raise SystemExit(1)


@app.command()
def jobs(
    study: Annotated[str, typer.Argument(help="A study's name; all studies where none is given.")] = "",
) -> None:
    """List the SLURM jobs of a study that run or wait, orphans of a killed run among them.

    [dim]saeflow cluster jobs demo  ·  scancel JOB ends one[/dim]
    """
    from flows.slurm.commands import JOB_PREFIX, my_jobs

    found = my_jobs(prefix=f"{JOB_PREFIX}{study}-" if study else JOB_PREFIX)
    if not found:
        console.print(f"no jobs of {study or 'any study'} run or wait")
        return
    table = Table("job", "name", "state", "reason", "node", box=None, padding=(0, 2, 0, 0))
    for job in found:
        table.add_row(job.job_id, job.name, job.state, job.reason, job.node)
    console.print(table)


def open_slurm_profile(name: str) -> SlurmProfile:
    """A profile that is of SLURM's kind.

    Raises:
        BadInput: there is none, it is wrong, or it is of another kind.
    """
    path = open_profile_path(name)
    profile = load_profile(path)
    if not isinstance(profile, SlurmProfile):
        raise BadInput(f"{path.name}: kind is {profile.kind}; only profiles of kind slurm have jobs to check")
    return profile


def _check_workers(profile: SlurmProfile, settings: Settings, wait: float) -> int:
    from cli.servers import prefect_api
    from flows.slurm.check import check_workers
    from flows.slurm.doors import refuse_open_doors

    work_in(settings.workspace.root / "prefect")
    with prefect_api(settings) as url:
        try:
            refuse_open_doors(profile, url, settings.tracking_uri)
        except BadInput as error:
            console.print(f"{_SIGNS['wrong']} servers: {error}", highlight=False)
            return 1
        return _show(check_workers(profile, settings.workspace.root, settings.tracking_uri, wait, console.print))


def _show(findings: Iterable[object]) -> int:
    from flows.slurm.check import Finding

    wrong = 0
    for finding in findings:
        assert isinstance(finding, Finding)
        wrong += finding.verdict == "wrong"
        console.print(f"{_SIGNS[finding.verdict]} {finding.subject}: ", end="", highlight=False)
        console.print(finding.words, markup=False, highlight=False)
    return wrong
