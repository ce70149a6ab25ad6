"""A registry against the files that it names: what is declared of an SAE, and what its configuration and headers say.

Nothing but headers is read. What declares another layout, width, layer or site than the files state cannot be used; an
SAE trained on another model can, and is warned of.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.concepts.registry import FORMATS, Registry, SAEEntry, check_layers
from core.errors import BadInput
from core.sae.configs import CONFIG, GEMMA_SCOPE_2_CONFIG, weights_file
from core.sae.origins import Trained, hook_place, read_trained
from core.sae.places import sae_folder
from core.store.hashes import HashMemo
from core.study.sites import Site, Sized, extent

L0_TOLERANCE = 0.2
"""Share of the declared L0 by which the measured one may differ without a warning."""


@dataclass(frozen=True)
class Reader:
    """The model whose rows a registry's SAEs read: all its names, the first one readers know it by, and its shape."""

    names: Sequence[str]
    shape: Sized

    def width(self, site: Site) -> int | None:
        """Width of a site's rows; null for the heads' outputs, which the model's shape does not tell."""
        return None if site == "attn_z" else extent(self.shape, site).width


@dataclass(frozen=True)
class UsableSAE:
    """An entry whose files are there and as declared; `trained` says where, compared with the place of its use."""

    entry: SAEEntry
    folder: Path
    trained: Trained


@dataclass(frozen=True)
class SkippedSAE:
    """An entry that cannot be used, and why."""

    entry: SAEEntry
    reason: str


@dataclass(frozen=True)
class Checked:
    """A registry's entries, in its order, those that can be used apart from those that cannot."""

    usable: tuple[UsableSAE, ...] = field(default=())
    skipped: tuple[SkippedSAE, ...] = field(default=())

    def model_warnings(self, model: str) -> list[str]:
        """One sentence for each other model that SAEs were trained on; `model` is the one that they are used on."""
        others = Counter(str(one.trained.model) for one in self.usable if one.trained.other_model is not None)
        return [f"SAEs trained on {name} are used on {model}: {count}" for name, count in sorted(others.items())]


def check_registry(registry: Registry, reader: Reader | None, strict: bool = False) -> Checked:
    """Look for every entry's files and hold them against what is declared; without a model, the width of its rows is
    not checked. `strict` makes an error of what would be skipped.

    Raises:
        BadInput: an entry's layer is beyond the model, none can be used, or with `strict` one cannot.
    """
    if reader is not None:
        check_layers(registry, reader.shape.num_layers)
    names = reader.names if reader is not None else [registry.model]
    usable: list[UsableSAE] = []
    skipped: list[SkippedSAE] = []
    for entry in registry.entries:
        try:
            usable.append(checked(entry, names, reader.width(entry.site) if reader is not None else None))
        except BadInput as error:
            skipped.append(SkippedSAE(entry, str(error)))
    if skipped and (strict or not usable):
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        what = "" if strict else "no SAE of the registry can be used: "
        raise BadInput(f"{what}{skipped[0].reason}{more}")
    return Checked(tuple(usable), tuple(skipped))


def checked(entry: SAEEntry, models: Sequence[str], d_model: int | None) -> UsableSAE:
    """One entry with its folder; `models` are all names of the model that it is used on, `d_model` is the width of the
    rows there, null where it is not known.

    Raises:
        BadInput: its files are not there, cannot be read, or state something else than is declared; the message begins
            with its key.
    """
    folder = sae_folder(entry.key, entry.path)
    weights = weights_file(folder)
    if weights is not None and FORMATS[weights] != entry.format:
        raise _mismatch(entry, "format", FORMATS[weights])
    from core.sae.pretrained import check_pretrained  # torch

    try:
        width = check_pretrained(folder, d_model)
        trained = read_trained(folder).used_on(models, entry.site, entry.layer)
    except BadInput as error:
        raise BadInput(f"{entry.key}: {error}") from error
    if width != entry.width:
        raise _mismatch(entry, "width", width)
    _refuse_other_place(entry, trained)
    return UsableSAE(entry, folder, trained)


def fingerprint(folder: Path, memo: HashMemo) -> str:
    """One hash over an SAE's weights and configuration: what else lies there decides nothing and may change."""
    names = (weights_file(folder), CONFIG, GEMMA_SCOPE_2_CONFIG)
    return memo.sha256_all([folder / name for name in names if name is not None and (folder / name).is_file()])


def l0_warning(entry: SAEEntry, measured: float) -> str | None:
    """What a user should know where the L0 measured on rows is not within 20 % of the declared one; null where it is,
    or none is declared."""
    if entry.l0 is None or abs(measured - entry.l0) <= L0_TOLERANCE * entry.l0:
        return None
    return (
        f"{entry.key}: L0 is {measured:.4g} on these rows and {entry.l0:.4g} as declared: other text than it was "
        "trained on, another model or site, or the wrong file"
    )


def _refuse_other_place(entry: SAEEntry, trained: Trained) -> None:
    sites, layer = hook_place(trained.hook or "", trained.model or "")
    if "layer" in trained.differs:
        raise _mismatch(entry, "layer", layer)
    if "site" in trained.differs:
        raise _mismatch(entry, "site", " or ".join(sites) or f"another one ({trained.hook})")


def _mismatch(entry: SAEEntry, what: str, stated: object) -> BadInput:
    return BadInput(f"{entry.key}: {what} {getattr(entry, what)} is declared, and its files say {stated}")
