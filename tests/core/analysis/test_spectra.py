"""Spectra equal numpy's, find a dictionary of few directions, and find nothing in a random one."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats

from core.analysis.result import Result
from core.analysis.spectra import Config
from core.analysis.spectra.figures import figures
from core.analysis.spectra.run import run
from core.analysis.spectra.spectrum import BETWEEN, DECODER, OV, THROUGH
from core.errors import BadInput
from core.features.inputs import AnalysisInputs
from core.report.sentences import verdicts
from core.sae.architectures import SparseAutoencoder
from core.stats.factored import FactoredMatrix
from tests.core.features.planted_world import World, make_inputs

FEATURES, WIDTH = 40, 12
CONFIG = Config(heads=False, components=6, draws=39)


def dictionary(seed: int, directions: int = WIDTH) -> SparseAutoencoder:
    """Unit decoder rows in so many directions of the stream, the encoder their transpose."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(FEATURES, directions, generator=generator) @ torch.eye(directions, WIDTH)
    sae = SparseAutoencoder(WIDTH, FEATURES, 4)
    sae.W_dec.data = torch.nn.functional.normalize(rows, dim=1)
    sae.W_enc.data = sae.W_dec.data.T.clone()
    return sae


def planted(directions: int) -> AnalysisInputs:
    """Layers whose SAEs write in few directions, beside frozen ones that write in all."""
    inputs = make_inputs(World(images=16))
    own, other = (
        {layer: dictionary(layer + base, of) for layer in range(4)} for base, of in ((0, directions), (9, 12))
    )
    frozen = {layer: replace(inputs.open_layer(layer), sae=other[layer]) for layer in range(4)}
    views = {layer: replace(frozen[layer], sae=own[layer]) for layer in range(4)}
    return replace(inputs, open_layer=views.__getitem__, open_frozen=frozen.__getitem__)


@pytest.fixture(scope="module")
def narrow() -> Result:
    return run(planted(5), CONFIG)


def test_ranks_entropies_and_components_are_numpys(narrow: Result) -> None:
    inputs = planted(5)
    spectra = narrow.tables["spectra"].filter(layer=2, of="SAE")
    decoder = inputs.open_layer(2).sae.W_dec.detach().double().numpy()
    for name, dense in ((DECODER, decoder), (THROUGH, decoder.T @ decoder), (BETWEEN, decoder @ decoder.T)):
        row = spectra.filter(matrix=name).row(0, named=True)
        values = np.linalg.svd(dense, compute_uv=False)
        shares = values[values > 1e-9] / values.sum()
        variance = np.linalg.svd(dense - dense.mean(axis=0), compute_uv=False) ** 2
        assert (row["rows"], row["columns"], row["rank"]) == (*dense.shape, 5)
        assert row["entropy"] == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-4)
        assert row["effective_rank"] == pytest.approx(np.exp(row["entropy"]))
        assert row["pca_1"] == pytest.approx(variance[0] / variance.sum(), rel=1e-4)
        assert row["pca_5"] == pytest.approx(1, abs=1e-5)


def test_a_dictionary_of_few_directions_is_found_and_a_random_one_is_not(narrow: Result) -> None:
    assert verdicts(narrow.estimates) == {"": "found"}
    found = {one.name: one for one in narrow.estimates}
    assert found["effective_rank.decoder"].value < 5 < found["effective_rank.decoder"].null
    assert found["beside_frozen.decoder"].value < -5 and found["beside_frozen.decoder"].verdict == "not tested"
    told = [run(planted(WIDTH), CONFIG.model_copy(update={"draws": 60 + n})) for n in range(2)]
    assert not any(one.verdict == "found" for result in told for one in result.estimates)


def test_the_frozen_rows_are_described_and_no_part_of_the_family(narrow: Result) -> None:
    summary = narrow.tables["summary"]
    frozen, own = summary.filter(of="frozen dictionary"), summary.filter(of="SAE")
    assert frozen["q"].null_count() == 3 and frozen["p"].null_count() == 0
    np.testing.assert_allclose(own["q"], stats.false_discovery_control(own["p"].to_numpy()))
    found = {one.name: one for one in narrow.estimates}
    assert found["effective_rank.decoder"].family == "3 kinds of matrices"
    assert found["effective_rank.decoder.frozen"].q is None
    assert any("no p is below 0.025, so that q ≤ 5 % needs 2 of the 3 tests" in note for note in narrow.notes)
    assert not any("beside 3 kinds" in note for note in run(planted(5), CONFIG.model_copy(update={"draws": 59})).notes)


def test_every_estimate_is_an_entry_of_its_table_and_figures_are_drawn(narrow: Result) -> None:
    for one in narrow.estimates:
        row = narrow.tables[one.source.table].filter(pl.lit(True), **one.source.key)
        assert row.height == 1 and row[one.source.column].item() == one.value, one.name
    assert all(figure.caption and figure.chart.to_dict() for figure in figures(narrow.tables).values())
    components = narrow.tables["components"].filter(layer=0, of="SAE", matrix=DECODER)
    assert components["component"].to_list() == [1, 2, 3, 4, 5, 6]
    assert components["cumulative"].to_list() == pytest.approx(components["share"].cum_sum().to_list())


def test_heads_are_read_one_by_one_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    circuit = FactoredMatrix(
        torch.randn(2, WIDTH, 3, generator=generator), torch.randn(2, 3, WIDTH, generator=generator)
    )
    inputs = replace(planted(5), open_model=lambda: None)  # type: ignore[arg-type,return-value]
    monkeypatch.setattr("core.analysis.spectra.run.heads", lambda model, layer: Heads(circuit.B))
    monkeypatch.setattr("core.analysis.spectra.run.ov_circuit", lambda model, layer: circuit)
    config = CONFIG.model_copy(update={"heads": True})
    spectra = run(inputs, config).tables["spectra"].filter(matrix=OV)
    assert spectra.height == 8 and spectra["rank"].to_list() == [3] * 8
    dense = np.linalg.svd(circuit.AB[1].numpy(), compute_uv=False)[:3]
    expected = -(dense / dense.sum() * np.log(dense / dense.sum())).sum()
    assert spectra.filter(layer=0, head=1)["entropy"].item() == pytest.approx(expected, rel=1e-4)

    def refuse(model: Any, layer: int) -> Any:
        raise BadInput("circuits: it has none")

    monkeypatch.setattr("core.analysis.spectra.run.heads", refuse)
    without = run(inputs, config)
    assert without.tables["spectra"].filter(matrix=OV).is_empty()
    assert "No heads were read: circuits: it has none." in without.notes


class Heads:
    """What the analysis reads of a layer's heads: the shape of their weights."""

    def __init__(self, W_O: torch.Tensor) -> None:
        self.W_O = W_O
