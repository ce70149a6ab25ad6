"""The table of autoencoders shows each layer's frozen dictionary beside its SAE, where there is one."""

from pathlib import Path

import pytest

from core.report.collect import collect
from core.report.contents import sae_heading
from core.report.model import ReportInputs
from core.report.write import write_report
from tests.core.report.sample_study import STUDY, SampleStudy

COLUMNS = ["frozen_held_out_fvu", "frozen_held_out_l0", "frozen_dead_fraction"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SampleStudy:
    return SampleStudy(tmp_path_factory.mktemp("study"))


def with_frozen(study: SampleStudy, layers: tuple[int, ...]) -> ReportInputs:
    """The study's report, where these layers have frozen dictionaries: layer n's has the figures of layer n + 20."""
    frozen = [
        study._publish("train_sae", f"{layer}-frozen", {"layer": layer}, {}, study._sae(layer + 20)) for layer in layers
    ]
    return collect(study.store, STUDY, {**study.inputs, "frozen": frozen}, study.skipped)


def test_its_figures_stand_in_the_row_of_its_layer(study: SampleStudy, tmp_path: Path) -> None:
    plain = collect(study.store, STUDY, study.inputs, study.skipped)
    inputs = with_frozen(study, (0, 2))
    assert inputs.sae.drop(COLUMNS).equals(plain.sae) and plain.sae.columns + COLUMNS == inputs.sae.columns
    assert inputs.sae["frozen_held_out_fvu"].to_list() == [pytest.approx(0.18), None, pytest.approx(0.188)]
    assert inputs.sae["frozen_held_out_l0"].to_list() == [15.0, None, 15.0]
    assert inputs.sae["frozen_dead_fraction"].to_list() == [pytest.approx(0.04), None, pytest.approx(0.042)]
    assert {unit.label for unit in inputs.making.units} >= {"train_sae[0-frozen]", "train_sae[2-frozen]"}
    write_report(inputs, tmp_path)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text("utf-8").replace("&#39;", "'")
        assert sae_heading(inputs.sae) in text and "Frozen held out FVU" in text


def test_without_one_nothing_of_it_is_said(study: SampleStudy) -> None:
    plain = collect(study.store, STUDY, study.inputs, study.skipped)
    assert sae_heading(plain.sae) == "Every layer's autoencoder"
    assert not set(COLUMNS) & set(plain.sae.columns)
