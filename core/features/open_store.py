"""Opens a store of activations: the fastest layout that its folders hold."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from core.errors import BadInput
from core.features.activation_store import ActivationStore
from core.features.backends.layouts import Layout, measured, own_layouts, package_layouts, refuse_mixture, speed
from core.features.backends.packages import OWN
from core.features.saved_examples import SavedExamples

_ONLY: Mapping[str, str] = {"transposed_dir": "zarr", "neuron_acts_dir": "sparse-files"}
"""Folders that are asked for one layout."""
_HOLDS = {
    "data_dir": "no store: neither csc_*.npy of a feature index, nor neuron_0000, …, nor a zarr array, nor "
    "activations/batch_0000.zarr with conversion_metadata.json",
    "transposed_dir": "no zarr array [features, rows], itself or as transposed_activations.zarr",
    "neuron_acts_dir": "no neuron_0000 with acts.npy and idxs.npy",
}
_PICKLES = (".joblib", ".pkl", ".pickle")
_PRECOMPUTED = ("histograms.pkl", "feature_stats.pkl")


def open_store(
    data_dir: str | Path | None = None,
    transposed_dir: str | Path | None = None,
    neuron_acts_dir: str | Path | None = None,
    examples_dir: str | Path | None = None,
    backend: str | None = None,
) -> ActivationStore:
    """Open a store of activations as it is: what lies in the folders is read, the fastest layout first.

    Args:
        data_dir: a folder of any layout: columns of a feature index, a folder per feature, a transposed zarr array,
            a package's, or batches of rows.
        transposed_dir: a zarr array [F, T], or a folder that holds it as `transposed_activations.zarr`.
        neuron_acts_dir: a folder of `neuron_0000/acts.npy, idxs.npy`, ….
        examples_dir: a folder of saved examples: `examples.parquet`, or `all_examples.parquet` of older scripts.
        backend: the back end to use in place of the fastest: csc, sparse-files, zarr, batch-scan or a package's.

    Returns:
        The store; `backend` and `passed_over` say what it reads, and why nothing faster.

    Raises:
        BadInput: a folder holds nothing of its kind, all that it holds is damaged, or folders are of different SAEs.
    """
    named = {"data_dir": data_dir, "transposed_dir": transposed_dir, "neuron_acts_dir": neuron_acts_dir}
    given = {argument: Path(folder).expanduser() for argument, folder in named.items() if folder is not None}
    if not given:
        raise BadInput("open_store: name a folder: data_dir, transposed_dir or neuron_acts_dir")
    found = _chosen(_found(given, backend), backend)
    whole, passed_over = _measured(found)
    refuse_mixture(whole)
    saved = None if examples_dir is None else SavedExamples.open(Path(examples_dir).expanduser())
    if saved is not None and None not in (saved.features, whole[0].features) and saved.features != whole[0].features:
        raise BadInput(
            f"examples_dir {saved.file.parent}: are of {saved.features:,} features, and {whole[0]} has "
            f"{whole[0].features:,}; name folders of one SAE"
        )
    return ActivationStore(whole[0], passed_over, saved)


def _found(given: Mapping[str, Path], backend: str | None) -> list[Layout]:
    """What lies in the folders; packages are asked where nothing of saeflow's own is there but batches."""
    found = [(argument, layout) for argument, folder in given.items() for layout in own_layouts(folder)]
    found = [(argument, layout) for argument, layout in found if layout.backend == _ONLY.get(argument, layout.backend)]
    if backend not in (None, *OWN) or all(layout.backend == "batch-scan" for _, layout in found):
        found += [(argument, layout) for argument, folder in given.items() for layout in package_layouts(folder)]
    for argument, folder in given.items():
        if argument not in {where for where, _ in found}:
            raise _nothing(argument, folder)
    return sorted((layout for _, layout in found), key=speed)


def _nothing(argument: str, folder: Path) -> BadInput:
    if not folder.exists():
        return BadInput(f"{argument} {folder}: does not exist")
    refuse_pickles(folder)
    return BadInput(f"{argument} {folder}: holds {_HOLDS[argument]}")


def refuse_pickles(place: Path) -> None:
    """Say what to do in place of reading a pickle.

    Raises:
        BadInput: the place is a pickle or joblib file, or a folder of such.
    """
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    pickle = next((path for path in files if path.suffix in _PICKLES), None)
    if pickle is None:
        return
    if pickle.name in _PRECOMPUTED:
        fix = "`saeflow store precompute` computes what it holds from the store itself"
    else:
        fix = "let the script that wrote it write its zarr batches, and `saeflow store convert` those"
    raise BadInput(f"{pickle}: is a pickle, which is never read; {fix}")


def _chosen(found: list[Layout], backend: str | None) -> list[Layout]:
    kept = [layout for layout in found if backend in (None, layout.backend)]
    if not kept:
        there = ", ".join(map(str, found))
        raise BadInput(f"open_store: nothing of back end {backend!r} is there; there is {there}")
    return kept


def _measured(found: Iterable[Layout]) -> tuple[list[Layout], tuple[str, ...]]:
    """The layouts that are whole, and what is wrong with those before the first of them."""
    whole: list[Layout] = []
    passed_over: list[str] = []
    first: BadInput | None = None
    for layout in found:
        try:
            whole.append(measured(layout))
        except BadInput as error:
            first = first or error
            passed_over += [] if whole else [str(error)]
    if not whole:
        assert first is not None
        raise first
    return whole, tuple(passed_over)
