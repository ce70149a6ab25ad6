"""`saeflow concept registry`: which SAEs of a model there are, written down for scans, and checked."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from cli.registry_options import (
    CheckOption,
    ConfigurationsOption,
    FolderOption,
    ListingOption,
    ModelFolderOption,
    ModelOption,
    NumLayersOption,
    OutOption,
    ReleaseOption,
    RepositoryOption,
    SaelensOption,
    SiteOption,
    StrictOption,
    StudyOption,
    WidthOption,
)
from cli.registry_table import tell_checked, tell_found, tell_registry
from cli.terminal import console, warn
from core.concepts.configurations import GEMMA_SCOPE_REPOSITORY, configured_entries
from core.concepts.registry import check_layers, read_registry, write_registry
from core.concepts.registry_checks import Reader, check_registry
from core.concepts.registry_entries import Found, Wanted, spelt_width
from core.concepts.sae_folders import folder_entries
from core.concepts.saelens_listing import installed_listing, saelens_entries
from core.errors import BadInput
from core.lm.hub import snapshots
from core.lm.shape import ModelShape, model_names, read_shape
from core.reading.records import open_by_name
from core.reading.registry import entries_of
from core.sae.places import HUB
from core.study.sites import STREAM
from flows.runtime.settings import read_settings, started_in


def registry(
    saelens: SaelensOption = False,
    listing: ListingOption = None,
    configurations: ConfigurationsOption = None,
    folder: FolderOption = None,
    study: StudyOption = None,
    check: CheckOption = None,
    model: ModelOption = None,
    width: WidthOption = None,
    site: SiteOption = STREAM,
    release: ReleaseOption = "*",
    repository: RepositoryOption = GEMMA_SCOPE_REPOSITORY,
    num_layers: NumLayersOption = None,
    model_folder: ModelFolderOption = None,
    strict: StrictOption = False,
    out: OutOption = None,
) -> None:
    """Write down which SAEs of a model there are: a registry, which a scan takes its SAEs from.

    A registry is a YAML file with one line per SAE: key, layer, site, width, L0,
    format, path or hub place, and its Neuronpedia id. Say where the SAEs are to
    come from, look at the table, then write it with --out; add, remove or change
    lines as you like, and let --check hold it against the files before a scan
    does.

    [dim]saeflow concept registry --saelens --model gemma-2-2b --width 16k --out gemma.yaml
    saeflow concept registry --folder my-saes --out mine.yaml
    saeflow concept registry --study demo
    saeflow concept registry --check gemma.yaml --model-folder hub:google/gemma-2-2b[/dim]
    """
    _refuse_several(
        {
            "--saelens": saelens or listing,
            "--configurations": configurations,
            "--folder": folder,
            "--study": study,
            "--check": check,
        }
    )
    reader = _reader(model_folder)
    if check is not None:
        _check(check, reader, strict)
        return
    wanted = Wanted(model, site, _width(width))
    if study is not None:
        found, origin = _of_study(study, wanted), f"study {study}"
    elif folder is not None:
        found, origin = folder_entries(_here(folder), wanted), str(folder)
    elif configurations is not None:
        found, origin = configured_entries(_here(configurations), wanted, repository), configurations.name
    else:
        path = _here(listing) if listing is not None else installed_listing()
        found, origin = saelens_entries(path, wanted, release), path.name
    _give(found, origin, num_layers or (reader.shape.num_layers if reader is not None else None), out)


def _refuse_several(sources: Mapping[str, object]) -> None:
    named = [option for option, value in sources.items() if value]
    if len(named) != 1:
        said = f"{' and '.join(named)} were given" if named else "nothing was given"
        raise BadInput(f"say where the SAEs come from, with one of {', '.join(sources)} (--listing FILE); {said}")


def _give(found: Found, origin: str, num_layers: int | None, out: Path | None) -> None:
    """Show the registry, and write it where it was asked to be."""
    made = found.registry(origin, num_layers)
    if num_layers is not None:
        check_layers(made, num_layers)
    tell_registry(made)
    tell_found(found)
    if out is None:
        console.print("  Nothing is written yet: --out FILE writes it.")
    else:
        write_registry(made, _here(out), origin)
        console.print(f"  {out}", markup=False)


def _check(path: Path, reader: Reader | None, strict: bool) -> None:
    found = read_registry(_here(path))
    tell_registry(found)
    checked = check_registry(found, reader, strict)
    tell_checked(checked)
    if reader is None:
        console.print("  The model was not looked at: --model-folder compares its layers, width and name.")
    else:
        warn(checked.model_warnings(reader.names[0]))


def _reader(place: str | None) -> Reader | None:
    """The model that a registry is for, by its folder; null where none is named."""
    if place is None:
        return None
    if not place.startswith(HUB):
        folder = _here(Path(place))
    else:
        there = [one for one in snapshots(place.removeprefix(HUB)) if (one / "config.json").is_file()]
        if not there:
            name = place.removeprefix(HUB)
            raise BadInput(f"--model-folder {place}: not in the hub's local cache: `hf download {name} config.json`")
        folder = there[0]
    shape: ModelShape = read_shape(folder)
    return Reader(model_names(folder), shape)


def _width(text: str | None) -> int | None:
    width = None if text is None else spelt_width(text)
    if text is not None and width is None:
        raise BadInput(f"--width {text}: write a number of features, such as 16384 or 16k")
    return width


def _of_study(asked: str, wanted: Wanted) -> Found:
    """A study's own SAEs."""
    opened = open_by_name(read_settings().workspace, asked)
    return Found.of(wanted.model or _model(opened.config["model"]), entries_of(opened), wanted, Counter())


def _model(model: dict[str, str | None]) -> str:
    """A study's model as a scan of the registry opens it."""
    return model.get("factory") or str(model.get("path"))


def _here(path: Path) -> Path:
    return started_in() / path.expanduser()
