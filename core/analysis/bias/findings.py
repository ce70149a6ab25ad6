"""The bias as estimates, and how to read it."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from core.analysis.bias import Config
from core.analysis.bias.hidden import OF_ALL, Hidden
from core.analysis.bias.rates import AMPLIFIED, ERROR, RHO, SPREAD
from core.analysis.bias.readable import PLANTED
from core.analysis.bias.set_findings import set_estimates
from core.analysis.bias.written import SHARE_ERROR, SHARE_RHO, unwritable
from core.data.concept import LAST_PROMPT
from core.data.languages import LANGUAGE_NAMES
from core.data.visible import AGREEMENT
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.group_means import LEAST_GROUPS
from core.stats.written import number

Tables = Mapping[str, pl.DataFrame]
SPLITS = "all"


def estimates(hidden: Hidden, tables: Tables) -> tuple[Estimate, ...]:
    """The rates, how far groups differ, what was planted, the same in captions, and where in the layers it is read."""
    found = (
        *_rates(hidden, tables),
        *_over_groups(hidden, tables["over_groups"]),
        *_shares(hidden, tables["overall_shares"]),
        *set_estimates(hidden, tables["sets"]),
        *_readable(hidden, tables["readable"]),
    )
    return hidden.inputs.beside_planted(found, "bias")


def _unseen(hidden: Hidden) -> str:
    return f"{hidden.inputs.counted} that do not show the {hidden.inputs.concept.name}"


def _rates(hidden: Hidden, tables: Tables) -> Iterator[Estimate]:
    side = hidden.inputs.concept.sides[0]
    for row in tables["overall"].iter_rows(named=True):
        caveats = [
            f"probability of a neutral word {_span(row, 'neutral')}, of any of the words asked for "
            f"{number(row['likely'], 3)}"
        ]
        if row["labelled"]:
            caveats.append(
                f"the data's captions: {_span(row, 'label_rate')} over {number_of(row['labelled'], 'unit')} "
                f"({hidden.labels_of[row['language']]})"
            )
        yield Estimate(
            name=f"rate.{row['language']}",
            quantity=f"P({side}) at the first {hidden.inputs.concept.adjective} word, of either side's words",
            value=row["rate"],
            unit="share",
            n=row["images"],
            counted=_unseen(hidden),
            source=Source("overall", {"language": row["language"]}, "rate"),
            interval=(row["rate_low"], row["rate_high"]),
            split=SPLITS,
            language=row["language"],
            described=True,
            caveats=(*caveats, *_over(hidden, row["column"])),
        )


def _over(hidden: Hidden, column: str) -> tuple[str, ...]:
    if column:
        return (f"the interval draws values of {column} first, then images within each",)
    few = f"fewer than {LEAST_GROUPS} values of {hidden.columns[0]}: " if hidden.columns else ""
    return (f"{few}the interval draws images alone",) if few else ()


def _span(row: Mapping[str, Any], name: str) -> str:
    return f"{number(row[name])} [{number(row[f'{name}_low'])}, {number(row[f'{name}_high'])}]"


def _over_groups(hidden: Hidden, table: pl.DataFrame) -> Iterator[Estimate]:
    side = hidden.inputs.concept.sides[0]
    words = {
        SPREAD: ("spread", f"adjusted share of the variance of P({side}) between images that {{}} explains", "share"),
        AMPLIFIED: (
            "amplification",
            f"P({side}) by {{}} beyond the data's rate, on the side it leans to",
            "points",
        ),
        RHO: ("planted_rho", f"Spearman's rho of P({side}) by {{}} with the planted rates", ""),
        ERROR: ("planted_error", f"mean absolute error of P({side}) by {{}} from the planted rates", "points"),
        SHARE_RHO: (
            "written_rho",
            f"Spearman's rho of the share of {side} captions by {{}} with the planted rates",
            "",
        ),
        SHARE_ERROR: (
            "written_error",
            f"mean absolute error of the share of {side} captions by {{}} from the planted rates",
            "points",
        ),
    }
    for row in table.iter_rows(named=True):
        name, quantity, unit = words[row["measure"]]
        error = row["measure"] in (ERROR, SHARE_ERROR)
        redrawn = row["measure"] == AMPLIFIED
        what = "labels drawn at the model's own rates" if redrawn else f"permutations of {row['column']}"
        rows = table.filter(measure=row["measure"])
        yield Estimate(
            name=f"{name}.{row['column']}.{row['language']}",
            quantity=quantity.format(row["column"]),
            value=row["value"],
            unit=unit,
            n=row["groups"],
            counted=f"values of {row['column']}, {number_of(row['units'], 'unit')}",
            source=Source("over_groups", {name: row[name] for name in ("measure", "column", "language")}, "value"),
            interval=(row["low"], row["high"]),
            control=Control.of(what, row, "permuted"),
            sides=1 if row["measure"] == SPREAD else 2,
            p=row["p"],
            q=row["q"],
            family=number_of(rows.height, "test"),
            draws=row["draws"],
            split=SPLITS,
            language=row["language"],
            answers=row["measure"] == SPREAD and row["column"] == hidden.columns[0],
            described=error,
            caveats=_caveats(hidden, row),
        )


def _caveats(hidden: Hidden, row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["measure"] != AMPLIFIED:
        return ()
    return (f"the data's rate is that of {hidden.labels_of[row['language']]}, of few images per group a noisy one",)


def _shares(hidden: Hidden, table: pl.DataFrame) -> Iterator[Estimate]:
    one, other = hidden.inputs.concept.sides
    for row in table.drop_nulls("share").iter_rows(named=True):
        told = row["first"] + row["other"]
        counts = f"{row['first']} {one}, {row['other']} {other}, {row['both']} both, {row['no_side']} neither"
        yield Estimate(
            name=f"written_share.{row['language']}",
            quantity=f"share of {one} among generated captions that tell one {hidden.inputs.concept.name}",
            value=row["share"],
            unit="share",
            n=told,
            counted=f"captions of {_unseen(hidden)}",
            source=Source("overall_shares", {"language": row["language"]}, "share"),
            interval=(row["low"], row["high"]),
            split=SPLITS,
            language=row["language"],
            condition="greedy, the likeliest token at each step",
            described=True,
            caveats=(f"of {row['captions']} captions: {counts}", *_over(hidden, row["column"])),
        )


def _readable(hidden: Hidden, table: pl.DataFrame) -> Iterator[Estimate]:
    chosen = table.filter("chosen")
    for row in chosen.iter_rows(named=True):
        family = chosen.filter(against=row["against"]).height
        planted = row["against"] == PLANTED
        with_what = "the planted rates" if planted else f"P({hidden.inputs.concept.sides[0]}) at the first word"
        keys = ("layer", "language", "position_set", "against")
        yield Estimate(
            name=f"readable{'_planted' if planted else ''}.{row['position_set']}.{row['language']}",
            quantity=f"Spearman's rho by {hidden.columns[0]} of the score that the probe for the visible "
            f"{hidden.inputs.concept.name} has on {row['position_set']} rows with {with_what}",
            value=row["value"],
            unit="",
            n=row["groups"],
            counted=f"values of {hidden.columns[0]}, {number_of(row['units'], 'unit')} that do not show it",
            source=Source("readable", {name: row[name] for name in keys}, "value"),
            interval=(row["low"], row["high"]),
            control=Control.of(f"permutations of {hidden.columns[0]}", row, "permuted"),
            p=row["p"],
            q=row["q"],
            family=number_of(family, "curve"),
            draws=row["draws"],
            split=SPLITS,
            layer=row["layer"],
            language=row["language"],
            chosen="the last layer of the highest AUROC on selection images that show it",
            caveats=_seen(table, row),
        )


def _seen(table: pl.DataFrame, row: Mapping[str, Any]) -> tuple[str, ...]:
    """How well the same probe reads what is shown, and the curve's largest rho with its corrected p."""
    curve = table.filter(**{name: row[name] for name in ("language", "position_set", "against")})
    top = curve.sort(pl.col("value").abs(), descending=True).row(0, named=True)
    largest = f"the largest of {number_of(curve.height, 'layer')} is {number(top['value'], 2)} at layer {top['layer']}"
    caveats = [f"{largest}, p {number(top['p_curve'])} against the largest of each permutation"]
    if row["auroc"] is not None:
        caveats.append(f"on test images that show it the probe's AUROC is {number(row['auroc'])}, a number of its own")
    return tuple(caveats)


def notes(hidden: Hidden, config: Config, tables: Tables) -> tuple[str, ...]:
    """What says that the concept is hidden, what was asked and left out, and how to read it."""
    visible, counted = hidden.visible, hidden.inputs.counted
    name = hidden.inputs.concept.name
    lines = [
        f"Whether {counted} show the {name} is told by {visible.by}: {len(visible.shown):,} do, "
        f"{len(visible.hidden):,} do not.{_unclear(hidden)}"
    ]
    if not visible.hidden:
        column, value = hidden.inputs.concept.shown
        fix = f"add a column {column} with the value {value} for them" if visible.by == AGREEMENT else "add some"
        return (*lines, f"No {_unseen(hidden)}: nothing was asked; {fix}.")
    lines += [_asked(hidden, language) for language in hidden.inputs.languages]
    if not hidden.columns:
        lines.append("Samples have no column of groups: intervals draw images alone, and nothing is said over groups.")
    elif tables["over_groups"].filter(measure=SPREAD, column=hidden.columns[0]).is_empty():
        column = hidden.columns[0]
        lines.append(
            f"{column}: one value, or as many values as units that are asked; nothing tells whether they differ."
        )
    asked = hidden.groups.filter(pl.col("image_id").is_in(hidden.asked["image_id"].to_list()))
    few = [c for c in hidden.columns if asked[c].drop_nulls().n_unique() < LEAST_GROUPS]
    lines += [f"Fewer than {LEAST_GROUPS} values of {column}: none is drawn or ranked." for column in few]
    if OF_ALL in hidden.labels_of.values():
        lines.append("Where few of the captions that are asked tell a side, the data's rate is that of all images.")
    if why := unwritable(hidden, config):
        lines.append(f"No caption was generated: {why}.")
    elif tables["written"].height:
        lines.append("Generated captions are greedy: where one side is likelier, all of them tell it.")
    return tuple(lines)


def _unclear(hidden: Hidden) -> str:
    parts = [f"{count:,}: {reason}" for reason, count in hidden.visible.unclear.items()]
    return f" Left out: {'; '.join(parts)}." if parts else ""


def _asked(hidden: Hidden, language: str) -> str:
    own = hidden.asked.filter(pl.col("language") == language)
    places = own.group_by("at").len().sort("at")
    where = {LAST_PROMPT: "at last-prompt, for they have no such word"}
    parts = [
        f"{count:,} {where.get(at, f'at the {at}' if at == 'first word' else at)}" for at, count in places.iter_rows()
    ]
    left = [f"{count:,}: {why}" for (own_language, why), count in hidden.left_out.items() if own_language == language]
    out = f" Left out: {'; '.join(left)}." if left else ""
    return f"{LANGUAGE_NAMES[language]}: {number_of(own.height, 'caption')} asked ({', '.join(parts) or 'none'}).{out}"
