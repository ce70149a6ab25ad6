"""How long a run still takes: from what this run has measured, what earlier runs took, and what the demo takes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from core.store.ledger import UnitCost, read

_DEMO_S = {
    "prepare": 5.0,
    "capture": 14.0,
    "extract_layer": 0.5,
    "train_sae": 17.0,
    "import_sae": 5.0,
    "choose_sae": 0.5,
    "index_features": 3.0,
    "rank_features": 1.0,
    "describe_features": 1.0,
    "analyse": 90.0,
    "report": 15.0,
}
"""Seconds per unit of the demo on two cores: what is assumed of a stage that neither this workspace's runs nor this one
have measured. Another study's are scaled by how this run compares."""
_PRIOR_S = 60.0
"""Seconds of assumed work that a run counts as made at the assumed rate: a slow first stage of seconds says little."""
_AT_ONCE = 2.0  # profiles work on two units at once unless they say otherwise


@dataclass(frozen=True)
class Stage:
    """A stage of a run: units that this run has made, units left (a unit half done counts half), and the seconds that
    it has worked on them."""

    name: str
    made: float
    left: float
    seconds: float


def past_seconds(accounting: Path) -> dict[str, float]:
    """Seconds per unit and stage in all earlier runs of a workspace: the median of each stage's units."""
    found: dict[str, list[float]] = {}
    for path in sorted(accounting.glob("*.units.jsonl")):
        for unit in read(path, UnitCost):
            found.setdefault(unit.stage, []).append(unit.wall_seconds)
    return {stage: median(seconds) for stage, seconds in found.items()}


def remaining_s(stages: Iterable[Stage], past: Mapping[str, float]) -> float:
    """Seconds until the last stage is done."""
    known = list(stages)
    scale = _scale(known, past)
    return sum(stage.left * _per_unit(stage, past, scale) for stage in known)


def _per_unit(stage: Stage, past: Mapping[str, float], scale: float) -> float:
    return stage.seconds / stage.made if stage.made >= 1 else _assumed(stage.name, past) * scale


def _assumed(name: str, past: Mapping[str, float]) -> float:
    return past.get(name, _DEMO_S.get(name, 1.0)) / _AT_ONCE


def _scale(stages: Iterable[Stage], past: Mapping[str, float]) -> float:
    """How this run's measured stages compare with what is assumed of them; near 1 while little is measured."""
    measured = [stage for stage in stages if stage.made >= 1]
    assumed = sum(stage.made * _assumed(stage.name, past) for stage in measured)
    return (_PRIOR_S + sum(stage.seconds for stage in measured)) / (_PRIOR_S + assumed)


def in_words(seconds: float) -> str:
    """`40 s`, `3 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(10 * round(seconds / 10), 10)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
