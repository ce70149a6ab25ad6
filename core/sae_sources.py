"""Where someone else's SAEs of a study lie: folders, or repositories in the hub's local cache."""

from collections.abc import Mapping, Sequence
from pathlib import Path

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


def sae_sources(study: Study, layers: Sequence[int], memo: HashMemo) -> Mapping[str, Mapping[int, SAESource]]:
    """The folder and content of each layer's SAE, by field of the study; a pinned study is taken for granted.

    Raises:
        BadInput: a layer's folder is missing or holds no SAE.
    """
    places = {field: getattr(study.sae, field) for field in FIELDS}
    return {
        field: {layer: _source(f"sae.{field}", place.replace("{layer}", str(layer)), memo) for layer in layers}
        for field, place in places.items()
        if place is not None
    }


def _source(field: str, place: str, memo: HashMemo) -> SAESource:
    folder = _cached(field, place.removeprefix(HUB)) if place.startswith(HUB) else Path(place)
    files = sorted(path for pattern in _FILES for path in folder.glob(pattern))
    if not any(path.suffix in (".safetensors", ".npz") for path in files):
        raise BadInput(f"{field}: {folder} holds no SAE (no .safetensors or .npz file)")
    return SAESource(folder, memo.sha256_all(files))


def _cached(field: str, place: str) -> Path:
    owner, _, rest = place.partition("/")
    name, _, path = rest.partition("/")
    repository = cached_hub_folder(f"{owner}/{name}")
    if repository is None or not (repository / path).is_dir():
        mend = f"`hf download {owner}/{name} --include '{path}/*'` fetches it"
        raise BadInput(f"{field}: {place} is not in the hub's local cache: {mend}")
    return repository / path


def _listed(bases: Sequence[Path]) -> str:
    return ", ".join(str(base) for base in bases)
