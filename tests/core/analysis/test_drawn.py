"""What readers could not read in figures: names on their side or left out, lines behind lines, empty ranges."""

import json
from typing import Any

import polars as pl

from core.analysis.ablation.figures import figures as ablation
from core.analysis.overview.figures import figures as overview
from core.analysis.qualitative.figures import figures as qualitative
from core.analysis.visual_patterns.figures import figures as visual_patterns
from core.figures.theme import Figure
from core.figures.writers import to_spec


def found(value: Any, key: str) -> list[Any]:
    """Every value of a key, wherever it stands in a spec."""
    if isinstance(value, dict):
        own = [value[key]] if key in value else []
        return own + [one for item in value.values() for one in found(item, key)]
    return [one for item in value for one in found(item, key)] if isinstance(value, list) else []


def spec(figure: Figure) -> dict[str, Any]:
    drawn = to_spec(figure)
    return {key: drawn[key] for key in drawn if key not in ("config", "usermeta")}


EFFECTS = pl.DataFrame(
    {
        "layer": [8, 8, 17, 17],
        "language": ["en", "ar"] * 2,
        "intervention": "zero ablation",
        "outcome": "first-gendered",
        "images": 12,
        **dict.fromkeys(("effect", "low", "high", "control"), 0.5),
    }
)


def test_layers_of_facets_stand_upright_for_an_8_on_its_side_reads_as_infinity() -> None:
    draws = EFFECTS.select("layer", "language", "effect", draw=0)
    costs = EFFECTS.select("layer", "language", kl=0.1, control=0.2)
    drawn = ablation({"effects": EFFECTS, "draws": draws, "specificity": costs})
    interventions = spec(drawn["interventions"])
    assert interventions["facet"]["row"]["header"]["labelAngle"] == 0
    assert interventions["facet"]["row"]["sort"] == ["Layer 8", "Layer 17"]
    expressions = [one for one in found(spec(drawn["specificity"]), "labelExpr") if "Arabic" in one]
    assert expressions and "English" in expressions[0], "languages are named in full"


def test_every_bar_and_whisker_has_its_name() -> None:
    conditions = ["ablated", "random", "amplified", "random_amplified"]
    changes = pl.DataFrame(
        {"condition": conditions, "language": "en", "images": 9, **dict.fromkeys(("rate", "low", "high"), 0.0)}
    )
    drawn = spec(qualitative({"changes": changes})["changes"])
    axes = [one["axis"] for one in found(drawn, "x") if "labelExpr" in one["axis"]]
    assert axes and all(one["labelOverlap"] is False for one in axes)
    names = {row["what"] for rows in drawn["datasets"].values() for row in rows}
    assert len(names) == 4 and all(len(line) < 18 for name in names for line in name.split("|"))


def test_a_correlation_s_axis_ends_where_its_values_do() -> None:
    one = {"layer": [8], "feature": [57], "image_id": ["a"], "kind": ["mean"], "swap": [0], "spearman": [0.4]}
    agreement = pl.DataFrame({"layer": [8], "spearman": [0.4], "low": [0.3], "high": [0.5], "random": [0.1]})
    drawn = visual_patterns({"causal": pl.DataFrame(one), "agreement": agreement})
    assert "-1" not in json.dumps(found(spec(drawn["causal"]), "domain"))


def test_a_curve_behind_another_is_wider_and_sae_quality_is_one_panel() -> None:
    layers = {"layer": [0, 1, 0, 1], "language": ["en", "en", "ar", "ar"], "position_set": "last-prompt"}
    numbers = dict.fromkeys(("auroc", "low", "high", "shuffled_high"), 0.9)
    emergence = pl.DataFrame({**layers, "method": "logistic", "decision": False, **numbers})
    quality = pl.DataFrame({"layer": [0, 1], "split": "test", "segment": "all", "fvu": 0.2, "l0": 4.0, "dead": 0.0})
    empty = {name: pl.DataFrame() for name in ("top_features", "associations")}
    drawn = overview({"emergence": emergence, "quality": quality, **empty})
    lines = [one for one in found(spec(drawn["emergence"]), "mark") if one.get("strokeWidth", 0) > 1]
    assert [one["strokeWidth"] for one in lines] == sorted({one["strokeWidth"] for one in lines}, reverse=True)
    assert len(lines) == 2
    assert "vconcat" not in spec(drawn["quality"]) and found(spec(drawn["quality"]), "y")[0]["field"] == "fvu"
