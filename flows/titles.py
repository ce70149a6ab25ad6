"""What a run is called in Prefect, MLflow and the logs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.runtime import flow_run as prefect_flow_run

from core.planning.study import Study
from core.study.variant import title


def run_name() -> str:
    """`full-analysis demo · sae.k=32`: the flow and its study's title, for Prefect's pages."""
    given = prefect_flow_run.parameters
    return f"{prefect_flow_run.flow_name} {title_of(given['study'], given.get('layer'))}"


def title_of(study: Study | Mapping[str, Any] | str, layer: int | None = None) -> str:
    """The title of a study as a flow is given it: a file's name is its own until it is read."""
    if isinstance(study, str):
        study = {"name": Path(study).stem if study.endswith((".yaml", ".yml")) else Path(study).name}
    fields = study.model_dump(include={"name", "variant"}) if isinstance(study, Study) else study
    return title({**fields, "layer": layer})
