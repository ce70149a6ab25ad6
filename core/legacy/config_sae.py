"""The SAE of an old configuration: its kind, sparsity and size, which several of its settings decide together."""

from collections.abc import Mapping
from typing import Any

from core.legacy.config_keys import ARCHITECTURES, SAE_SECTIONS, SPARSITY
from core.legacy.converted import Converted


def sparsity_setting(made: Converted, found: dict[str, Any], key: str, value: Any) -> bool:
    """Settings that together say of which kind and size an SAE is; whether this was one."""
    section, _, name = key.rpartition(".")
    if section not in SAE_SECTIONS or name not in SPARSITY:
        return False
    first = found.setdefault(SPARSITY[name], value)
    if first != value:
        made.decide.append(f"sae: {first!r} is taken for its {SPARSITY[name]}, and {key} says {value!r}")
    return True


def choose_kind(made: Converted, found: Mapping[str, Any]) -> None:
    """Set the architecture, and what keeps it sparse, from the settings found."""
    named = ARCHITECTURES.get(str(found.get("architecture", "")).lower())
    if named is None and "architecture" in found:
        made.decide.append(f"sae.architecture: {found['architecture']!r} is none of those here")
    kind = named or ("relu" if "l1" in found else "topk" if "k" in found else None)
    if kind is None:
        made.decide.append("sae.architecture: nothing says how it was kept sparse; topk with k 64 is the default here")
    else:
        made.put("sae.architecture", kind)
    if kind == "relu" and "l1" in found:
        made.put("sae.l1_coefficient", found["l1"])
        made.decide.append(
            "sae.l1_coefficient: taken as written; here it weighs Σ f beside ‖x − x̂‖² of a row, rows scaled to a mean "
            "squared norm of D: a loss that was a mean over dimensions or features needs another value (docs/saes.md)"
        )
        if "k" in found:
            made.decide.append(
                f"sae.k: {found['k']!r} is left out, for l1_coefficient takes its place; a TopK drops the L1"
            )
    elif "k" in found:
        made.put("sae.k", found["k"])
    if "l1" in found and kind != "relu":
        made.left.append(f"sae.l1_coefficient: {found['l1']!r}: {kind} is kept sparse by k")
    if "features" in found and "expansion" not in made.study["sae"]:
        _expansion(made, found)


def _expansion(made: Converted, found: Mapping[str, Any]) -> None:
    features, width = found["features"], found.get("width")
    if isinstance(features, int) and isinstance(width, int) and width > 0 and features % width == 0:
        made.put("sae.expansion", features // width)
    else:
        made.decide.append(
            f"sae.expansion: the old SAE had {features!r} features; write how many times the model's width"
        )
