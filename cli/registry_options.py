"""The options of `saeflow concept registry`."""

from pathlib import Path
from typing import Annotated

import typer

from core.study.sites import Site

SaelensOption = Annotated[
    bool, typer.Option("--saelens", help="From the list of the installed SAELens, which is not imported.")
]
ListingOption = Annotated[
    Path | None, typer.Option(help="From this pretrained_saes.yaml: SAELens' list, which lies in its wheel.")
]
ConfigurationsOption = Annotated[
    Path | None, typer.Option(help="From a JSON list of layers and L0s, as gemma_scope_16k_configurations.json.")
]
FolderOption = Annotated[
    Path | None, typer.Option(help="From all SAEs below a folder: SAELens, sparsify, Gemma Scope 1 or 2.")
]
StudyOption = Annotated[str | None, typer.Option(help="From the SAEs of a study that has run in the workspace.")]
CheckOption = Annotated[Path | None, typer.Option(help="Hold a registry against the files that it names; makes none.")]
ModelOption = Annotated[str | None, typer.Option(help="The model that the SAEs read, such as gemma-2-2b.")]
WidthOption = Annotated[str | None, typer.Option(help="Only SAEs of so many features: 16384, or 16k.")]
SiteOption = Annotated[Site, typer.Option(help="Only SAEs that read this of a layer.")]
ReleaseOption = Annotated[str, typer.Option(help="With --saelens: only releases of this name, which may hold * and ?.")]
RepositoryOption = Annotated[
    str, typer.Option(help="With --configurations: where its paths start, OWNER/NAME on the hub or a folder.")
]
NumLayersOption = Annotated[
    int | None, typer.Option(min=1, help="How many layers the model has, to tell which have no SAE.")
]
ModelFolderOption = Annotated[
    str | None, typer.Option(help="The model's folder, or hub:OWNER/NAME: its config.json tells layers and width.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="With --check: an SAE that cannot be used is an error, not skipped.")
]
OutOption = Annotated[Path | None, typer.Option(help="Write the registry to this YAML file.")]
