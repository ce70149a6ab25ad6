"""`saeflow layer`: compute one layer of a study again."""

from typing import Annotated

import typer

from cli.addresses import addresses
from cli.checks import check_tracking
from cli.run import ClusterOption, SetOption, StudyArgument, execute
from cli.terminal import console, warn
from core.errors import BadInput
from core.planning.survey import survey
from core.study import variant
from flows.runtime.settings import open_profile_path, open_study, read_settings


def layer(
    study: StudyArgument,
    layer: Annotated[int, typer.Argument(min=0, help="The decoder layer, counted from 0.", show_default=False)],
    set_: SetOption = None,
    cluster: ClusterOption = "threads",
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Set the present SAE aside, compute it again, compare checksums.")
    ] = False,
    analyses: Annotated[
        bool,
        typer.Option("--analyses", help="Run the analyses that need one layer only, and write its report."),
    ] = False,
) -> None:
    """Extract, train and index one layer; everything else is reused.

    [dim]saeflow layer demo 17 --set sae.k=16  ·  saeflow layer demo 17 --analyses[/dim]
    """
    settings = read_settings()
    opened = open_study(study, set_ or ())
    open_profile_path(cluster)
    settings.workspace.check_writable()
    seen = survey(opened, settings.workspace)
    warn(seen.warnings)
    if seen.layers is not None and layer not in seen.layers:
        raise BadInput(f"layer {layer} is not among the study's layers ({', '.join(map(str, seen.layers))})")
    check_tracking(seen, settings)
    how: dict[str, object] = {"cluster": cluster, "refresh": refresh, "analyses": analyses}
    verdicts = execute(settings, seen, "single-layer", {"layer": layer, "study": opened, **how})
    assert isinstance(verdicts, dict)
    for unit, verdict in verdicts.items():
        console.print(f"  {unit}: {_words(verdict)}", markup=False)
    if analyses:
        folder = variant.folder({"name": opened.name, "variant": opened.variant, "layer": layer})
        console.print(f"  report  {settings.workspace.report(folder) / 'report.html'}", markup=False)
    console.print(f"  browse  {addresses(settings).words}   (MLflow compares the SAE runs)", markup=False)


def _words(verdict: str) -> str:
    words = {
        "same": "computed again; every file has the checksum it had",
        "different": "computed again; the checksums DIFFER from those before (`saeflow gc` lists what was set aside)",
    }
    return words.get(verdict, verdict)
