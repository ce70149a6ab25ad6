"""Results of analyses for the study of `tests.explorer.world`: small tables with the columns of the real ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from core.planning.steps import STEPS
from tests.explorer.world import STUDY, World, publish, write_json

Tables = Mapping[str, pl.DataFrame]
ENDS = {"low": 0.8, "high": 0.95}
CONTROL = {"control": 0.01, "control_low": -0.02, "control_high": 0.03}
EXPLANATION = "tokens ‹woman›, ‹امرأة›"


def with_analyses(world: World, description: str = "Where do cats live?", explanation: str = EXPLANATION) -> World:
    """The world, to whose study these results belong too."""
    made = [_publish(world, name, tables) for name, tables in _results(explanation).items()]
    refs = [unit.artifact.ref for unit in world.units.values()]
    shards = [artifact.ref for artifact in world.units["index_features"].inputs["shards"]]
    study = {**STUDY, "description": description}
    artifacts = list(dict.fromkeys([*refs, *shards, *made]))
    world.workspace.remember("cats-00000001", {"study": study, "artifacts": artifacts, "report": "report/0"})
    return world


def _publish(world: World, name: str, tables: Tables) -> str:
    unit = STEPS[name].unit("", {"analysis": name})

    def write(folder: Path) -> None:
        for table, rows in tables.items():
            rows.write_parquet(folder / f"{table}.parquet")
        write_json(folder / "summary.json", {"metrics": {}, "shown": {}, "notes": [], "estimates": []})

    publish(world.workspace, unit, write)
    return unit.artifact.ref


def _results(explanation: str) -> dict[str, Tables]:
    own: dict[str, Any] = {"layer": 0, "feature": 7}
    return {
        "overview": {"emergence": pl.DataFrame([_emergence(language) for language in ("en", "ar")])},
        "interpretation": {
            "explanations": pl.DataFrame([{**own, "explanation": explanation, "score": 0.9, **ENDS, "control": 0.5}]),
            "described": pl.DataFrame([{**own, "in_words": explanation}]),
            "associations": pl.DataFrame(
                [{**own, "question": "picture", "language": "en", "auroc": 0.9, **ENDS, "q": 0.0}]
            ),
            "promoted": pl.DataFrame([_token(way, rank) for way in ("promoted", "suppressed") for rank in (1, 2)]),
        },
        "evolution": {
            "matches": pl.DataFrame(
                [{"layer": 0, "next_layer": 1, "feature": 7, "next_feature": 9, "correlation": 0.9, "cosine": 0.8}]
            )
        },
        "ablation": {
            "features": pl.DataFrame([{**own, "rank": 1}]),
            "effects": pl.DataFrame([_effect("zero ablation"), _effect("interchange") | dict.fromkeys(CONTROL)]),
        },
        "amplification": {
            "features": pl.DataFrame([own]),
            "response": pl.DataFrame([_response(dose) for dose in (-1.0, 0.0, 1.0)]),
            "slopes": pl.DataFrame(
                [{"layer": 0, "language": "en", "vector": "features", "slope": 0.9, **ENDS, **CONTROL}]
            ),
        },
    }


def _emergence(language: str) -> dict[str, Any]:
    shuffled = {"shuffled": 0.5, "shuffled_low": 0.4, "shuffled_high": 0.6}
    place = {"layer": 0, "language": language, "position_set": "pre-gender", "method": "logistic"}
    return {**place, "auroc": 0.9, **ENDS, **shuffled}


def _token(way: str, rank: int) -> dict[str, Any]:
    return {"layer": 0, "feature": 7, "direction": way, "rank": rank, "token": f"{way}<b>{rank}", "score": 0.5}


def _effect(intervention: str) -> dict[str, Any]:
    said = {"layer": 0, "language": "all", "outcome": "first", "intervention": intervention, "effect": 0.9}
    return {**said, **ENDS, **CONTROL, "q": 0.01, "images": 8}


def _response(dose: float) -> dict[str, Any]:
    return {"layer": 0, "language": "en", "vector": "features", "dose": dose, "log_odds": dose, **ENDS}
