"""The figures of a concept scan: the best feature of each SAE by layer, what else reads the concept, and onsets."""

import altair as alt
import polars as pl

from core.concepts.beside import FEATURE
from core.figures.theme import HALF, HEIGHT, MEASURED, REFERENCE, SERIES, WIDTH, Figure, layer_x, only, rule
from core.report.concept.collected import ScanReport

_MOST_ONSETS = 4
_NAMES = {"auroc_3_0": "clean example against irrelevant", "auroc_23_01": "2 and 3 against 0 and 1"}
_LABEL_COLOURS = {3: MEASURED, 2: SERIES[4], 1: SERIES[5], 0: REFERENCE}


def figures(report: ScanReport) -> dict[str, Figure]:
    """The figures that the scan has something for."""
    found = {"layers": _layers(report), "baselines": _baselines(report.tables["baselines"])}
    if report.onsets.height:
        found["onsets"] = _onsets(report)
    return found


def _layers(report: ScanReport) -> Figure:
    declared = pl.DataFrame(
        [
            {"sae": one["key"], "layer": one["layer"], "width": f"{one['width']:,}", "L0": one["l0"]}
            for one in report.saes
        ],
        schema={"sae": pl.String, "layer": pl.Int64, "width": pl.String, "L0": pl.Float64},
    )
    best = report.tables["ranking"].group_by("sae").agg(pl.col("spearman").abs().max().alias("best"))
    table = declared.join(best, on="sae", how="inner", maintain_order="left")
    limit = float(report.tables["permutation"].filter(measure="spearman")["null_q950"][0])
    points = (
        alt.Chart(table)
        .mark_circle(size=70, opacity=0.8)
        .encode(
            x=layer_x(),
            y=alt.Y("best:Q", title="Largest |Spearman| with the label", scale=alt.Scale(zero=True)),
            color=alt.Color("width:N", title="Features of the SAE", scale=alt.Scale(range=list(SERIES))),
            tooltip=["sae", "layer", "width", "L0", alt.Tooltip("best:Q", format=".3f")],
        )
    )
    chart = (points + rule(limit)).properties(width=WIDTH, height=HEIGHT)
    caption = (
        "The best feature of each SAE on the selection split, by layer. Dashed: what the best of all features of all "
        "SAEs reaches in one of 20 exchanges of the labels. Points are chosen as the largest, so that they lie above "
        "zero without any concept; a point below the dashed line is no evidence of one."
    )
    return Figure(chart, caption)


def _baselines(table: pl.DataFrame) -> Figure:
    chosen = table.filter("chosen").with_columns(
        pl.col("measure").replace_strict(_NAMES).alias("contrast"),
        pl.when(pl.col("method") == FEATURE).then(pl.lit("feature")).otherwise(pl.lit("beside it")).alias("kind"),
    )
    order = list(dict.fromkeys(chosen["method"].to_list()))
    base = alt.Chart(chosen).encode(
        y=alt.Y("method:N", title=None, sort=order),
        color=alt.Color(
            "kind:N", title=None, scale=alt.Scale(domain=["feature", "beside it"], range=[MEASURED, "#6E7781"])
        ),
    )
    scale = alt.Scale(domain=[0, 1])
    lines = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title="Held-out AUROC", scale=scale), x2="high:Q")
    dots = base.mark_circle(size=80, opacity=1).encode(x=alt.X("auroc:Q", title="Held-out AUROC", scale=scale))
    chance = alt.Chart(pl.DataFrame({"x": [0.5]})).mark_rule(color=REFERENCE, strokeDash=[4, 3]).encode(x="x:Q")
    panels = [
        only(lines + dots + chance, "contrast", name).properties(width=HALF, height=alt.Step(26), title=name)
        for name in _NAMES.values()
        if name in chosen["contrast"].to_list()
    ]
    caption = (
        "AUROC on held-out sentences of the chosen feature, the best feature of a random dictionary, a "
        "difference-of-means probe of the stream, a bag of words, and length alone; each was chosen or fitted on the "
        "selection split. Lines: 95 % intervals over families of sentences; dashed: chance."
    )
    return Figure(alt.hconcat(*panels), caption)


def _onsets(report: ScanReport) -> Figure:
    names = list(report.top.select("sae", "feature").iter_rows())[:_MOST_ONSETS]
    titles = {(sae, feature): f"{number}. feature {feature}" for number, (sae, feature) in enumerate(names, start=1)}
    rows = [
        {**row, "title": titles[row["sae"], row["feature"]]}
        for row in report.onsets.iter_rows(named=True)
        if (row["sae"], row["feature"]) in titles
    ]
    labels = [str(label) for label in _LABEL_COLOURS]
    table = pl.DataFrame(rows).with_columns(pl.col("label").cast(pl.String))
    colours = alt.Scale(domain=labels, range=list(_LABEL_COLOURS.values()))
    lines = (
        alt.Chart(table)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("word:Q", title="Word", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False)),
            y=alt.Y("share:Q", title="Sentences in which it has fired", scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("label:N", title="Label", scale=colours, sort=labels),
        )
    )
    panels = [only(lines, "title", title).properties(width=HALF, height=150, title=title) for title in titles.values()]
    caption = (
        "At which word a feature begins to fire, in held-out sentences by label: the share in which it has fired at "
        "the last token of that word or of one before. A feature that fires on punctuation alone, such as the full "
        "stop, stays at 0, although features are ranked by what they do at the sentence's last token."
    )
    return Figure(alt.concat(*panels, columns=2), caption)
