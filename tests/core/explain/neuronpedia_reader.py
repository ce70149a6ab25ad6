"""Reads a tree of Neuronpedia's v1 exports by the fields that Neuronpedia publishes, and nothing of ours.

The fields are those of its export script and of the rows of its database (hijohnnylin/neuronpedia,
utils/neuronpedia-utils: `export-data.py` and `db_models`). A `?` behind a type allows null.
"""

import gzip
import json
from pathlib import Path
from typing import Any

_LISTS = (
    "freq_hist_data_bar_heights freq_hist_data_bar_values logits_hist_data_bar_heights logits_hist_data_bar_values "
    "neuron_alignment_indices neuron_alignment_l1 neuron_alignment_values correlated_neurons_indices "
    "correlated_neurons_l1 correlated_neurons_pearson decoder_weights_dist neg_values pos_values topkCosSimIndices "
    "topkCosSimValues vector"
)


def _fields(**kinds: str) -> dict[str, str]:
    """The kind of each field, out of the fields of each kind; `or_null` behind a kind allows null."""
    return {name: kind.replace("_or_null", "?") for kind, names in kinds.items() for name in names.split()}


FEATURE = _fields(
    text="modelId layer index sourceSetName creatorId hookName",
    number="maxActApprox frac_nonzero",
    numbers=_LISTS,
    texts="neg_str pos_str",
    flag="hasVector",
    text_or_null="vectorLabel",
    number_or_null="vectorDefaultSteerStrength",
)
ACTIVATION = _fields(
    text="id modelId layer index creatorId",
    text_or_null="dataSource",
    texts="tokens",
    numbers="values dfaValues",
    number="maxValue minValue maxValueTokenIndex",
    number_or_null="dfaMaxValue dfaTargetIndex binContains binMin binMax",
)
EXPLANATION = _fields(
    text="id modelId layer index authorId description",
    text_or_null="embedding typeName explanationModelName",
    number_or_null="umap_x umap_y umap_cluster umap_log_feature_sparsity",
)
ABOUT = {
    "model": {"id": "text", "instruct": "flag", "creatorId": "text", "displayName": "text", "layers": "number"},
    "release": {"name": "text", "description": "text", "creatorName": "text", "creatorId": "text", "urls": "texts"},
    "sourceset": {"modelId": "text", "name": "text", "creatorId": "text", "visibility": "text", "releaseName": "text?"},
    "source": {"id": "text", "modelId": "text", "setName": "text", "creatorId": "text", "dataset": "text?"},
}


def read_tree(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of `MODEL/SOURCE` by kind, every field checked."""
    found = {name: [_checked(row, fields) for row in _lines((folder / f"{name}.jsonl").read_bytes())]
             for name, fields in ABOUT.items()}  # fmt: skip
    for name, fields in (("features", FEATURE), ("activations", ACTIVATION), ("explanations", EXPLANATION)):
        files = [folder / name / f"batch-{number}.jsonl.gz" for number in range(len(list((folder / name).iterdir())))]
        rows = [row for path in files for row in _lines(gzip.decompress(path.read_bytes()))]
        found[name] = [_exact(_checked(row, fields), fields) for row in rows]
    for row in found["activations"]:
        assert len(row["tokens"]) == len(row["values"]) > 0
        assert row["values"][row["maxValueTokenIndex"]] == row["maxValue"] == max(row["values"]) > 0
        assert row["minValue"] == min(row["values"])
    for rows in (found["activations"], found["explanations"]):
        assert len({row["id"] for row in rows}) == len(rows)
    return found


def _lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode("utf-8").splitlines()]


def _exact(row: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    assert set(row) == set(fields), set(row) ^ set(fields)
    return row


def _checked(row: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    for name, kind in fields.items():
        value = row[name]
        if value is None:
            assert kind.endswith("?"), name
            continue
        fits = {
            "text": isinstance(value, str) and value != "",
            "number": isinstance(value, int | float) and not isinstance(value, bool),
            "flag": isinstance(value, bool),
            "texts": isinstance(value, list) and all(isinstance(one, str) for one in value),
            "numbers": isinstance(value, list) and all(isinstance(one, int | float) for one in value),
        }
        assert fits[kind.removesuffix("?")], (name, value)
    return row
