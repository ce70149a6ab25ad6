"""The overview's tables in sentences and numbers."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from core.data.languages import LANGUAGE_NAMES
from core.features.inputs import AnalysisInputs
from core.stats.intervals import Interval

_PLACES = {
    "image": "on image tokens",
    "last-prompt": "at the last prompt token",
    "pre-gender": "on caption tokens before gender is spoken",
    "first-gendered": "on the first gendered token",
    "later-gendered": "on later gendered tokens",
}

_QUESTIONS = {
    "decision": "before gender is spoken",
    "picture": "on image tokens",
    "words": "on the gendered words themselves (lexical reading)",
}


def headlines(tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """One sentence a finding, with its control and interval."""
    found = [_quality_line(tables["quality_summary"])]
    for row in tables["emergence_summary"].filter("decision").iter_rows(named=True):
        found.append(_emergence_line(row, first=int(tables["emergence"]["layer"].min() or 0)))  # type: ignore[arg-type]
    found += _family_lines(tables)
    if "splice" in tables:
        found.append(_splice_line(tables["splice"]))
    return tuple(found)


def _quality_line(summary: pl.DataFrame) -> str:
    worst = summary.row(int(summary["fvu"].arg_max() or 0), named=True)
    return (
        f"The SAEs leave {_median(summary, 'fvu'):.1%} of the variance of held-out images unexplained in the median "
        f"layer ({_median(summary, 'fvu_train'):.1%} on training images; at worst {worst['fvu']:.1%}, in layer "
        f"{worst['layer']}), with {_median(summary, 'l0'):.0f} active features a token."
    )


def _emergence_line(row: Mapping[str, Any], first: int) -> str:
    language, place = LANGUAGE_NAMES.get(row["language"], row["language"]), _PLACES[row["position_set"]]
    peak = Interval(row["low"], row["auroc"], row["high"])
    controls = f"shuffled labels reach {row['shuffled_high']:.2f}"
    if row["professions_out"] is not None:
        controls += f", professions unseen {row['professions_out']:.2f}"
    best = f"AUROC {peak} in layer {row['peak_layer']}, chosen on other images; {controls}"
    if row["emerges_at"] is None:
        return f"{language}: gender does not emerge {place} in any three layers in a row ({best})."
    if row["emerges_at"] == first:
        return f"{language}: gender is there {place} from the first measured layer, {first}, on (held-out {best})."
    return f"{language}: gender emerges {place} at layer {row['emerges_at']} (held-out {best})."


def _family_lines(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    lines = []
    for question, place in _QUESTIONS.items():
        tests, runs = (tables[name].filter(question=question) for name in ("associations", "false_discoveries"))
        found, lucky = int((tests["q"] <= 0.05).sum()), int((runs["discoveries"] > 0).sum())
        if tests.height:
            lines.append(
                f"{found:,} of {tests.height:,} tests of a feature {place} find a gender association at a false "
                f"discovery rate of 5 %; with labels shuffled by image, {lucky} of {runs.height} runs find any."
            )
    return lines


def _splice_line(splice: pl.DataFrame) -> str:
    worst = splice.row(int(splice["delta_ce"].arg_max() or 0), named=True)
    interval = Interval(worst["delta_ce_low"], worst["delta_ce"], worst["delta_ce_high"])
    added, recovered = _median(splice, "delta_ce"), _median(splice, "loss_recovered")
    return (
        f"With an SAE spliced in at every token but control tokens the captions' loss rises by {added:.3f} nats "
        f"a token in the median layer ({recovered:.1%} of the loss that mean ablation costs is recovered); at worst by "
        f"{interval}, in layer {worst['layer']} ({LANGUAGE_NAMES.get(worst['language'], worst['language'])})."
    )


def metrics(tables: Mapping[str, pl.DataFrame]) -> dict[str, float]:
    """Flat numbers for MLflow; a number that could not be measured is left out."""
    summary, tests, runs = tables["quality_summary"], tables["associations"], tables["false_discoveries"]
    found: dict[str, float | None] = {
        "held_out_fvu_median": _median(summary, "fvu"),
        "train_fvu_median": _median(summary, "fvu_train"),
        "dead_median": _median(summary, "dead"),
        "l0_median": _median(summary, "l0"),
    }
    for question in tests["question"].unique(maintain_order=True):
        own, shuffled = tests.filter(question=question), runs.filter(question=question)
        found[f"discoveries_{question}"] = float((own["q"] <= 0.05).sum())
        found[f"tests_{question}"] = float(own.height)
        found[f"shuffled_runs_with_discoveries_{question}"] = float((shuffled["discoveries"] > 0).sum())
    if "splice" in tables:
        found["delta_ce_median"] = _median(tables["splice"], "delta_ce")
        found["loss_recovered_median"] = _median(tables["splice"], "loss_recovered")
    for row in tables["emergence_summary"].iter_rows(named=True):
        name = f"{row['language']}_{row['position_set']}".replace("-", "_")
        found[f"peak_auroc_{name}"] = row["auroc"]
        if row["decision"]:
            found[f"emerges_at_{name}"] = row["emerges_at"]
    return {name: float(value) for name, value in found.items() if value is not None and value == value}


def notes(inputs: AnalysisInputs, tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """What was left out, and how to read what is there."""
    lines = [
        "Gender on image, first-gendered and later-gendered tokens is shown as reading, not as emergence: the word or "
        "the picture is there to be read.",
        "Rows of the last prompt token are control tokens that no SAE was trained on; probes there read the stream "
        "itself, and features there are named with this reservation.",
        "The control task gives each word type a random label; it is undefined where all images share one word.",
    ]
    if inputs.images is None:
        lines.append("Text only: nothing was measured on image tokens.")
    if len(inputs.languages) == 1:
        lines.append("One language: agreement between languages was left out.")
    if "profession" not in inputs.samples.columns:
        lines.append("No profession column: leave-professions-out was left out.")
    if "splice" not in tables:
        lines.append("The loss with SAEs spliced in was not measured (spliced_images is 0, or no test image).")
    measured = set(tables["emergence"]["position_set"].unique())
    missing = [place for place in _PLACES if place not in measured and not (place == "image" and inputs.images is None)]
    if missing:
        lines.append(f"Too few images (under 5 of a gender in train or test) have rows: {', '.join(missing)}.")
    return tuple(lines)


def _median(table: pl.DataFrame, column: str) -> float:
    value = table[column].median()
    return float(value) if isinstance(value, int | float) else float("nan")


def outlier_notes(outliers: Mapping[int, int], layers: int) -> tuple[str, ...]:
    """What is to be said of outliers, by layer how many there are; nothing where there are none."""
    some = [count for count in outliers.values() if count]
    if not some:
        return ()
    return (
        f"Outliers ({sum(some):,} rows in {len(some)} of {layers} layers; capture.max_norm_multiple) are in none of "
        "these figures, and tokens beyond a layer's limit keep their stream where its SAE is spliced in.",
    )
