"""What can be found wrong before anything runs."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from cli.terminal import console
from core.errors import BadInput
from core.lm.shape import weight_files
from core.planning.cost import estimate
from core.planning.survey import Survey
from flows.runtime.environment import neutral_dask
from flows.runtime.profiles import SlurmProfile, load_profile
from flows.runtime.settings import Settings, open_profile_path

_PACKAGES = ("prefect", "mlflow", "torch", "transformers", "polars", "altair")


@dataclass(frozen=True)
class Check:
    """One thing looked at: `ok` is null for what is only told."""

    name: str
    ok: bool | None
    words: str


def preflight(seen: Survey, settings: Settings, cluster: str) -> None:
    """Refuse to begin what cannot end, before a server is started for it.

    Raises:
        BadInput: the disk is too small for what is missing, the model's files are incomplete, SLURM refuses the
            profile's jobs, Dask cannot start, or MLflow would not take the study's runs.
    """
    profile = load_profile(open_profile_path(cluster))
    if profile.kind != "threads":
        neutral_dask()
    if isinstance(profile, SlurmProfile) and not seen.whole(settings.workspace):
        from flows.slurm.check import ask_slurm

        ask_slurm(profile, settings.workspace.root)
    for check in (_disk(seen, settings), _model(seen)):
        if check.ok is False:
            raise BadInput(f"{check.name}: {check.words}")
    check_tracking(seen, settings)


def check_tracking(seen: Survey, settings: Settings) -> None:
    """Refuse a study whose runs MLflow would not take.

    Raises:
        BadInput: its experiment was deleted, its folder is gone, or the database is not one to be read.
    """
    from tasks.experiment import check_experiment

    check_experiment(settings.tracking_uri, seen.study.tracking.experiment)


def all_checks(seen: Survey | None, settings: Settings) -> Iterator[Check]:
    """Everything `saeflow doctor` looks at."""
    yield from (_version(name) for name in _PACKAGES)
    yield _gpu()
    yield _fonts()
    yield _workspace(settings)
    if seen is not None:
        yield _disk(seen, settings)
        yield _model(seen)
    yield _tracking(seen, settings)
    yield _servers(settings)


def _version(name: str) -> Check:
    try:
        return Check(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, False, "not installed; run `make setup`")


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return Check("GPU", True, f"{torch.cuda.get_device_name()}, {free >> 30} of {total >> 30} GiB free")
    return Check("GPU", None, "none; everything runs on the CPU")


def _fonts() -> Check:
    folder = resources.files("core.figures") / "fonts"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".ttf"))
    return Check("fonts", bool(names), ", ".join(names) or "missing: the package is incomplete; install it again")


def _workspace(settings: Settings) -> Check:
    root = settings.workspace.root
    try:
        settings.workspace.check_writable()
    except BadInput as error:
        return Check("workspace", False, str(error))
    return Check("workspace", True, str(root))


def _disk(seen: Survey, settings: Settings) -> Check:
    needed = estimate(seen, settings.workspace).missing_bytes
    place = _existing(settings.workspace.root)
    free = shutil.disk_usage(place).free
    words = f"{free / 1e9:.1f} GB free at {place}; the study still needs about {needed / 1e9:.2f} GB"
    return Check("disk", free > needed, words)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _model(seen: Survey) -> Check:
    if seen.sources.factory is not None:
        return Check("model", True, f"made by {seen.sources.factory}")
    if seen.sources.folder is None:
        return Check("model", True, f"package {seen.sources.package}, converted at the first run")
    try:
        files = weight_files(seen.sources.folder)
    except BadInput as error:
        return Check("model", False, str(error))
    size = sum(path.stat().st_size for path in files)
    return Check("model", True, f"{seen.sources.folder}: {len(files)} files, {size / 1e6:.1f} MB")


def _tracking(seen: Survey | None, settings: Settings) -> Check:
    from tasks.experiment import check_database

    try:
        if seen is None:
            check_database(settings.tracking_uri)
        else:
            check_tracking(seen, settings)
    except BadInput as error:
        return Check("MLflow", False, str(error))
    return Check("MLflow", True, settings.tracking_uri)


def _servers(settings: Settings) -> Check:
    from cli.addresses import addresses

    return Check("servers", None, addresses(settings).words)


def show(checks: Iterator[Check]) -> bool:
    """Print the checks; whether none failed."""
    good = True
    for check in checks:
        mark = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[dim]·[/dim]"}[check.ok]
        console.print(f"{mark} {check.name:<12}", end=" ")
        console.print(check.words, markup=False)
        good &= check.ok is not False
    return good
