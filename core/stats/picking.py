"""Which layer a headline speaks of."""

import polars as pl


def picked_layer(features: pl.DataFrame) -> int:
    """The layer that headlines speak of: where the chosen features go most with the concept on the
    selection split.

    Picking the layer of the largest effect on the very images that give its interval would flatter the effect.
    `features` has columns layer and association; the lower layer wins a tie.
    """
    return int(features.sort("association", "layer", descending=[True, False], nulls_last=True)["layer"][0])


def of_layers(count: int, concept: str) -> str:
    """Say how a headline's layer was picked among `count`."""
    told = f"(of {count}, the layer whose features go most with {concept} on the selection split)"
    return "" if count == 1 else told
