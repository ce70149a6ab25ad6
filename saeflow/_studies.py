"""`saeflow.open` and `saeflow.run`."""

from pathlib import Path

from core.planning.study import Study
from core.reading.records import open_by_name
from core.reading.study import OpenedStudy
from flows.by_command import run_study
from flows.runtime.settings import open_workspace


def open(study: str, workspace: str | Path | None = None) -> OpenedStudy:
    """Open a study that has run.

    Args:
        study: its name, or the key of one of its variants as `saeflow status` lists them.
        workspace: the folder that it ran in; by default that of the command: $SAEFLOW_WORKSPACE, else the project's.

    Returns:
        Its samples, layers, results and report; each is read when it is asked for.

    Raises:
        BadInput: no such study has run there.
    """
    return open_by_name(open_workspace(workspace), study)


def run(
    study: str | Path | Study, *overrides: str, cluster: str = "threads", workspace: str | Path | None = None
) -> OpenedStudy:
    """Run a study to its report as the command `saeflow run` does, and open it. What is there is not made again.

    Args:
        study: a study file, the name of one in deployments/studies, or a `Study`.
        overrides: fields of the study to change, `section.key=value` each.
        cluster: where the work runs: a profile of deployments/clusters.
        workspace: the folder that holds everything made, as in `open`.

    Raises:
        BadInput: the study, an override, the profile or the workspace is wrong.
        RunFailed: the run failed; the message is the command's.
        KeyboardInterrupt: it was stopped by Ctrl-C; what was finished or checkpointed stays.
    """
    place = open_workspace(workspace)
    return open_by_name(place, run_study(study, overrides, cluster, place))
