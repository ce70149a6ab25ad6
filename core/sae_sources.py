"""Where someone else's SAEs of a study lie: folders, or repositories in the hub's local cache."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from core.errors import BadInput
from core.sources import HashMemo, cached_hub_folder
from core.study import Study
from core.units import SAESource

HUB = "hub:"
FIELDS = ("pretrained", "beside")
_FILES = ("*.safetensors", "*.npz", "*.json")


def pin_saes(study: Study, bases: Sequence[Path]) -> Study:
    """The study with absolute places of its SAEs: below the first of `bases` that has the folder around them."""
    found = {}
    for field in FIELDS:
        place = getattr(study.sae, field)
        if place is not None and not place.startswith(HUB):
            around = Path(place.partition("{layer}")[0] + "x").expanduser().parent
            base = next((base for base in bases if (base / around).is_dir()), None)
            if base is None:
                raise BadInput(f"sae.{field}: {place!r}: there is no folder {around} below {_listed(bases)}")
            found[field] = str(base / Path(place).expanduser())
    return study.model_copy(update={"sae": study.sae.model_copy(update=found)}) if found else study


def sae_sources(
    study: Study, layers: Sequence[int], width: int | None, memo: HashMemo
) -> Mapping[str, Mapping[int, SAESource]]:
    """The folder and content of each layer's SAE, by field of the study; a pinned study is taken for granted.

    `width` of the rows they are meant for, where it is known: told by the files' headers alone, so that an SAE of
    another model is refused before anything is captured.

    Raises:
        BadInput: a layer's folder is missing, holds no SAE, or one for rows of another width.
    """
    found: dict[str, dict[int, SAESource]] = {}
    for field in FIELDS:
        place = getattr(study.sae, field)
        if place is not None:
            folders = {layer: _folder(f"sae.{field}", place.replace("{layer}", str(layer))) for layer in layers}
            found[field] = {layer: _source(f"sae.{field}", folder, width, memo) for layer, folder in folders.items()}
    return found


def _folder(field: str, place: str) -> Path:
    return _cached(field, place.removeprefix(HUB)) if place.startswith(HUB) else Path(place)


def _source(field: str, folder: Path, width: int | None, memo: HashMemo) -> SAESource:
    files = sorted(path for pattern in _FILES for path in folder.glob(pattern))
    weights = [path for path in files if path.suffix in (".safetensors", ".npz")]
    if not folder.is_dir():
        raise BadInput(f"{field}: {folder} does not exist")
    if not weights:
        raise BadInput(f"{field}: {folder} holds no SAE (no .safetensors or .npz file)")
    if width is not None:
        _check_width(field, weights, width)
    return SAESource(folder, memo.sha256_all(files))


def _check_width(field: str, weights: Sequence[Path], width: int) -> None:
    shapes = [shape for path in weights for shape in _shapes(field, path) if len(shape) == 2]
    if not any(width in shape for shape in shapes):
        told = ", ".join(str(list(shape)) for shape in shapes) or "none"
        raise BadInput(f"{field}: {weights[0].parent}: its matrices are {told}; the study's rows have width {width}")


def _shapes(field: str, path: Path) -> Iterator[tuple[int, ...]]:
    """The shape of every array of a file, from its headers."""
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as arrays:
                yield from (_npy_shape(arrays, name) for name in arrays.namelist())
        else:
            with safe_open(path, "np") as tensors:
                names = tensors.keys()
                yield from (tuple(tensors.get_slice(name).get_shape()) for name in names)
    except (OSError, ValueError, zipfile.BadZipFile, SafetensorError) as error:
        raise BadInput(f"{field}: {path}: cannot be read ({error})") from error


def _npy_shape(arrays: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with arrays.open(name) as array:
        version = np.lib.format.read_magic(array)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return tuple(read(array)[0])


def _cached(field: str, place: str) -> Path:
    owner, _, rest = place.partition("/")
    name, _, path = rest.partition("/")
    repository = cached_hub_folder(f"{owner}/{name}")
    if repository is None or not (repository / path).is_dir():
        mend = f"`hf download {owner}/{name} --include '{path}/*'` fetches it"
        raise BadInput(f"{field}: {place} is not in the hub's local cache: {mend}")
    return repository / path


def _listed(bases: Sequence[Path]) -> str:
    return ", ".join(dict.fromkeys(str(base) for base in bases))
