"""How far the controls reach: what classes of features are matched with, and which families no test can pass alone."""

from collections.abc import Mapping

import polars as pl

from core.analysis.causal_map.carried import Classes
from core.causal.balance import BALANCE, balance
from core.stats.permuted import least_sign_flip_p
from core.stats.reach import out_of_reach

BALANCES = pl.Schema([("class", pl.String), *BALANCE.items()])
"""One row a class, language and measure."""


def balances(classes: Classes) -> pl.DataFrame:
    """How alike each class and its random sets are."""
    parts = [
        balance(classes.view, classes.members[name], control).select(pl.lit(name).alias("class"), pl.all())
        for name, control in classes.controls.items()
    ]
    return pl.concat([BALANCES.to_frame(), *parts])


def without_match(classes: Classes) -> list[str]:
    """Notes on classes that have no feature, or no control."""
    empty = [name for name, features in classes.members.items() if not features]
    alone = [name for name, control in classes.controls.items() if not control.draws]
    layer = classes.view.layer
    notes = [f"layer {layer}: no feature is {name}." for name in empty]
    notes += [
        f"layer {layer}, {name}: too few feature sets lie within a factor of 2 of it (the caliper), so that there is "
        "no control; no effect of the class is claimed."
        for name in alone
    ]
    return notes


def few_signs(tables: Mapping[str, pl.DataFrame], draws: int) -> list[str]:
    """Notes on tables tested by random signs of the units that are too few for q ≤ 5 % of one row alone."""
    notes = []
    for name in ("map", "crossed"):
        tested = tables[name].filter(pl.col("p").is_not_null())
        if tested.height:
            least = min(least_sign_flip_p(units, draws) for units in tested["units"].unique())
            notes += [f"table {name}: {told}." for told in out_of_reach(least, tested.height)]
    return notes
