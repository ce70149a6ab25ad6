"""Where a study's activations lie that were made elsewhere, and what they hold."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core.activations.exchange import INDEX, open_layers, read_index
from core.errors import BadInput
from core.planning.located import Precomputed, Reader, Sources
from core.planning.places import find_first
from core.planning.study import Study


def read_precomputed(study: Study, found: Sources, reader: Reader) -> Sources:
    """Add the folder of `capture.precomputed`, hashed as far as the study reads it.

    Raises:
        BadInput: the folder's index or a layer's file is wrong, or does not go with the study's other fields.
    """
    if study.capture.precomputed is None:
        return found
    _refuse_what_needs_the_model(study)
    folder = Path(study.capture.precomputed)
    index = read_index(folder)
    if index.site not in (None, study.capture.site):
        told = f"{study.capture.site}, but {folder / INDEX} says {index.site}"
        raise BadInput(f"capture.site: {told}; set capture.site to what the rows are")
    layers = tuple(sorted(index.layers)) if study.capture.layers == "all" else study.capture.layers
    matrices = open_layers(folder, index, layers)
    first = matrices[layers[0]]
    places = [folder / INDEX, folder / index.tokens, *(matrix.path for matrix in matrices.values())]
    content = reader.memo.sha256_all([file for place in places for file in _files(place)])
    return replace(found, precomputed=Precomputed(folder, content, layers, first.rows, first.width))


def pin_precomputed(study: Study, bases: Sequence[Path]) -> Study:
    """The study with the absolute place of its activations, looked for below each of `bases` in turn.

    Raises:
        BadInput: the folder is nowhere.
    """
    place = study.capture.precomputed
    if place is None:
        return study
    found = {"precomputed": str(find_first(place, bases, "capture.precomputed"))}
    return study.model_copy(update={"capture": study.capture.model_copy(update=found)})


def _refuse_what_needs_the_model(study: Study) -> None:
    capture = study.capture
    if capture.pool != "none":
        raise BadInput(f"capture.pool: {capture.pool}, but rows of capture.precomputed stay as they are; leave it out")
    if capture.nonfinite == "recompute":
        raise BadInput("capture.nonfinite: rows of capture.precomputed cannot be computed again; take fail or drop")


def _files(path: Path) -> list[Path]:
    """The file, or all files of a folder, as zarr is one."""
    if not path.exists():
        raise BadInput(f"{path}: is missing; capture.precomputed needs it")
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
