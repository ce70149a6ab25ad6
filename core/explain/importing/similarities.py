"""Decoder neighbours in `feature_similarities.json`."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from core.errors import BadInput
from core.explain.importing.layout import mapping, read_json
from core.features.neighbours import NEIGHBOURS

_TOP = 10
LISTED = pl.Schema({"sae_id": pl.String(), **NEIGHBOURS})
"""Decoder neighbours of several SAEs."""


def read_similarities(paths: Iterable[Path], sae_id: str | None) -> pl.DataFrame:
    """The ten nearest features of each, with the columns of `LISTED`.

    Args:
        paths: `feature_similarities.json` files, each in a folder that is called after its SAE, `--` for `/`.
        sae_id: what the SAE is called; null takes what the file or its folder says.

    Raises:
        BadInput: a file cannot be read, or lists no features with neighbours.
    """
    rows = []
    for path in paths:
        whole = mapping(read_json(path), path, "it")
        about = mapping(whole.get("metadata", {}), path, "'metadata'")
        named = sae_id or str(about.get("sae_id") or path.parent.name.replace("--", "/"))
        try:
            for entry in whole["feature_mappings"]:
                near = sorted(entry["top_10_neighbors"], key=lambda one: -float(one["cosine_similarity"]))[:_TOP]
                own = int(entry["source_feature_id"])
                rows += [
                    (named, own, rank, int(one["feature_id"]), float(one["cosine_similarity"]))
                    for rank, one in enumerate(near, start=1)
                ]
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{path}: 'feature_mappings' needs source_feature_id and top_10_neighbors of feature_id and "
                f"cosine_similarity ({error!r}); write the file again or take it away"
            ) from error
    return pl.DataFrame(rows, schema=LISTED, orient="row")
