"""Which layer an estimate speaks of, where several were measured."""

import polars as pl


def picked_layer(features: pl.DataFrame) -> int:
    """The layer that is reported: where the chosen features' association with the concept is largest on the
    selection split.

    Picking the layer of the largest effect on the very images that give its interval would flatter the effect.
    `features` has columns layer and association; the lower layer wins a tie.
    """
    return int(features.sort("association", "layer", descending=[True, False], nulls_last=True)["layer"][0])


def of_layers(count: int, concept: str) -> str:
    """How the layer was picked among `count`, as a noun phrase; empty where there was one only."""
    told = (
        f"of {count} layers the one whose features have the largest association with {concept} on the selection split"
    )
    return "" if count == 1 else told
