"""The overview's findings as estimates."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from core.data.concept import Concept
from core.features.inputs import AnalysisInputs
from core.stats.curves import RUN
from core.stats.estimate import Control, Estimate, Source, number_of

Tables = Mapping[str, pl.DataFrame]

READING = ("decision", "picture")
"""The questions whose curves are findings: on the words themselves the probe reads the word."""
_KEYS = {"decision": "features", "picture": "features.picture", "words": "features.words"}
_LEAST = "the lower end is the share that is true at least, by the runs with shuffled labels"
COUNTED_IN = {
    "decision": "before {concept} is spoken",
    "picture": "on image tokens",
    "words": "on the {concept} words themselves",
}


def places(concept: Concept) -> dict[str, str]:
    """Where each position set lies, in words."""
    own, name = concept.positions, concept.name
    return {
        "image": "on image tokens",
        "last-prompt": "at the last prompt token",
        own.before: f"on caption tokens before {name} is spoken",
        own.first: f"on the first {concept.adjective} word",
        own.later: f"on later {concept.adjective} words",
    }


def estimates(inputs: AnalysisInputs, tables: Tables, draws: int) -> tuple[Estimate, ...]:
    """The findings: where the concept is read before it is spoken, whether features carry it, and the SAEs' quality.

    `draws` are the shuffles behind the curves.
    """
    onsets, peaks = (_read(tables[name], inputs.concept) for name in ("emergence_summary", "peaks"))
    return (
        *(_onset(row, best, _curve(inputs, row, draws)) for row, best in zip(onsets, peaks, strict=True)),
        *_discoveries(inputs, tables["discoveries"]),
        *(
            _peak(best, _curve(inputs, best, draws))
            for row, best in zip(onsets, peaks, strict=True)
            if row["layers"] < RUN or row["layer"] != best["layer"]  # else the onset's estimate has the same layer
        ),
        *_quality(tables["quality_summary"]),
        *(_splice(inputs, tables["splice"]) if "splice" in tables else ()),
    )


def _read(table: pl.DataFrame, concept: Concept) -> list[dict[str, Any]]:
    """The rows of the questions whose curves are findings."""
    return [row for row in table.iter_rows(named=True) if concept.questions[row["position_set"]] in READING]


def _curve(inputs: AnalysisInputs, row: Mapping[str, Any], draws: int) -> dict[str, Any]:
    """What the estimates of a layer of a curve have in common."""
    concept, place = inputs.concept, row["position_set"]
    shuffled = (row["shuffled"], row["shuffled_low"], row["shuffled_high"])
    return {
        "quantity": f"AUROC of a linear probe for {concept.name} {places(concept)[place]}",
        "value": row["auroc"],
        "unit": "AUROC",
        "n": row["test_images"],
        "counted": f"test {inputs.counted}",
        "interval": (row["low"], row["high"]),
        "null": 0.5,
        "language": row["language"],
        "layer": row["layer"],
        "p": row["p"],
        "q": row["q"],
        "control": Control(f"shuffles of the labels by {inputs.counted[:-1]}", *shuffled, draws),
        "draws": draws,
    }


def _onset(row: Mapping[str, Any], peak: Mapping[str, Any], common: Mapping[str, Any]) -> Estimate:
    """The evidence of the layer from which the concept is read; that of the peak layer where there is none."""
    few, unseen = row["layers"] < RUN, row["professions_out"]
    caveats = [f"no statement about a layer is made from fewer than {RUN} measured layers"] if few else []
    caveats += [f"AUROC {unseen:.3f} on professions that the probe was trained without"] if unseen is not None else []
    first = f"the first of {RUN} measured layers in a row beyond shuffled curves"
    return Estimate(
        name=f"onset.{row['position_set']}.{row['language']}",
        **common,
        source=_source("emergence_summary", row),
        family=f"{_curves(row)} of {number_of(row['layers'], 'layer')}",
        chosen=first if row["onset"] is not None else _peak_words(peak),
        answers=row["decision"],
        described=few,
        caveats=tuple(caveats),
    )


def _peak(row: Mapping[str, Any], common: Mapping[str, Any]) -> Estimate:
    return Estimate(
        name=f"peak.{row['position_set']}.{row['language']}",
        **common,
        source=_source("peaks", row),
        family=_curves(row),
        chosen=_peak_words(row),
    )


def _peak_words(row: Mapping[str, Any]) -> str:
    if row["layers"] == 1:
        return ""
    best = "the layer of the highest AUROC on the selection split"
    return best if row["chosen"] else "the last measured layer, for the selection split is too small to choose one"


def _curves(row: Mapping[str, Any]) -> str:
    return number_of(row["curves"], "curve")


def _source(table: str, row: Mapping[str, Any]) -> Source:
    return Source(table, {"language": row["language"], "position_set": row["position_set"]}, "auroc")


def _discoveries(inputs: AnalysisInputs, table: pl.DataFrame) -> Iterator[Estimate]:
    name = inputs.concept.name
    for row in table.iter_rows(named=True):
        question, language = row["question"], row["language"]
        languages = table.filter(question=question).height
        yield Estimate(
            name=f"{_KEYS[question]}.{language}",
            quantity=f"share of the tests of features {COUNTED_IN[question].format(concept=name)} with q ≤ 0.05",
            value=row["share"],
            unit="share",
            n=row["tests"],
            counted=f"tests over test {inputs.counted}",
            source=Source("discoveries", {"question": question, "language": language}, "share"),
            interval=(row["least_share"], row["share"]),
            control=Control.of("runs with shuffled labels", row, "shuffled", "runs"),
            sides=1,
            p=row["p"],
            q=row["q"],
            family=number_of(languages, "language"),
            draws=row["runs"],
            language=language,
            answers=question == "decision",
            caveats=(_LEAST,) if row["discoveries"] else (),
        )


def _quality(summary: pl.DataFrame) -> Iterator[Estimate]:
    row = _median_row(summary, "fvu")
    if row is None:
        return
    layers = summary.height
    for column, quantity, unit in (
        ("fvu", "variance that the SAE leaves unexplained", "share"),
        ("l0", "features active on a row", ""),
    ):
        yield Estimate(
            name=column,
            quantity=quantity,
            value=row[column],
            unit=unit,
            n=row["rows"],
            counted="test rows",
            source=Source("quality_summary", {"layer": row["layer"]}, column),
            layer=row["layer"],
            chosen=f"the layer of the median FVU of {layers}" if layers > 1 else "",
            described=True,
        )


def _splice(inputs: AnalysisInputs, splice: pl.DataFrame) -> Iterator[Estimate]:
    for (language,), part in splice.group_by("language", maintain_order=True):
        row = _median_row(part, "delta_ce")
        if row is None:
            continue
        common: dict[str, Any] = {
            "n": row["images"],
            "counted": f"test {inputs.counted}",
            "layer": row["layer"],
            "language": str(language),
            "condition": "the SAE's reconstruction in the stream's place",
            "chosen": f"the layer of the median change of {part.height}" if part.height > 1 else "",
            "described": True,
        }
        key = {"layer": row["layer"], "language": language}
        yield Estimate(
            name=f"splice.{language}",
            quantity="change of the captions' loss",
            value=row["delta_ce"],
            unit="nats per token",
            interval=(row["delta_ce_low"], row["delta_ce_high"]),
            source=Source("splice", key, "delta_ce"),
            **common,
        )
        if row["loss_recovered"] is not None:
            yield Estimate(
                name=f"recovered.{language}",
                quantity="share of mean ablation's loss that is recovered",
                value=row["loss_recovered"],
                unit="share",
                interval=(row["loss_recovered_low"], row["loss_recovered_high"]),
                source=Source("splice", key, "loss_recovered"),
                **common,
            )


def _median_row(table: pl.DataFrame, column: str) -> dict[str, Any] | None:
    """The row whose value is the median (the lower of two), null where no row has one."""
    known = table.filter(pl.col(column).is_not_null()).sort(column, "layer")
    return known.row((known.height - 1) // 2, named=True) if known.height else None
