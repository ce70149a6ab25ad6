"""`saeflow.open` on the mini study: what a notebook reads is what the study's steps and analyses left."""

import base64
import json
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import saeflow
from core.reading.study import OpenedStudy
from core.sae.formats import load_sae
from core.store.artifacts import ArtifactStore

pytestmark = pytest.mark.timeout(900)  # a test may be the one that runs the study
LAYERS = (0, 9, 17, 33)


@pytest.fixture(scope="module")
def study(mini_workspace: Path) -> OpenedStudy:
    return saeflow.open("mini", workspace=mini_workspace)


@pytest.fixture(scope="module")
def layer(study: OpenedStudy) -> "saeflow.LayerView":
    return study.layer(17)


@pytest.fixture
def copied(mini_workspace: Path, tmp_path: Path) -> Path:
    """The study's artefacts as links, which a test may remove."""
    for name in ("artifacts", "studies"):
        shutil.copytree(mini_workspace / name, tmp_path / name, copy_function=os.link)
    return tmp_path


def folders(workspace: Path, step: str) -> dict[object, Path]:
    """The folders of a step's artefacts, by their layer."""
    store = ArtifactStore(workspace / "artifacts")
    found = [artifact for artifact in store if artifact.step == step]
    return {store.manifest(one)["unit"]["recipe"].get("layer"): store.path(one) for one in found}


def test_a_study_is_opened_by_its_name_its_key_and_its_file_s_name(mini_workspace: Path, study: OpenedStudy) -> None:
    assert study.name == "mini" and study.key.startswith("mini-") and study.finished
    for name in (study.key, "mini.yaml"):
        assert saeflow.open(name, workspace=mini_workspace).key == study.key
    assert study.config["sae"]["k"] == 8
    assert repr(study).startswith(f"<study {study.key}: 4 layers, results ablation, ")


def test_the_command_s_workspace_is_the_default(mini_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAEFLOW_WORKSPACE", str(mini_workspace))
    assert saeflow.open("mini").workspace.root == mini_workspace.resolve()


def test_samples_layers_and_report(study: OpenedStudy) -> None:
    assert study.samples.height == 48 and {"caption_en", "caption_ar", "split"} <= set(study.samples.columns)
    assert study.layers == LAYERS and study.languages == ("en", "ar")
    assert study.report.read_text("utf-8").startswith("<!doctype html>")


def test_rows_are_those_of_the_shards(mini_workspace: Path, layer: "saeflow.LayerView") -> None:
    stream, tokens = layer.rows("caption", "en")
    assert stream.dtype == torch.float32 and stream.shape == (tokens.height, 64)
    assert set(tokens["segment"]) == {"caption"} and set(tokens["language"]) == {"en"}
    everything = layer.rows()
    assert everything.tokens.equals(layer.table.tokens)
    assert torch.equal(everything.stream[tokens["index"].to_list()], stream)
    plain = ~everything.tokens["special"].to_numpy()  # as the docs leave special rows out
    assert len(everything.stream[plain]) == plain.sum() < len(plain)
    parts = [layer.rows(language=language).tokens.height for language in ("shared", "en", "ar")]
    assert sum(parts) == everything.tokens.height and min(parts) > 0
    assert layer.rows("image").tokens["language"].null_count() == layer.rows("image", "shared").tokens.height


def test_the_sae_is_the_trained_one(mini_workspace: Path, layer: "saeflow.LayerView") -> None:
    stream = layer.rows("caption", "ar").stream
    trained = load_sae(folders(mini_workspace, "train_sae")[17])
    with torch.no_grad():
        assert torch.equal(layer.sae(stream), trained(stream))


def test_a_feature_agrees_with_the_sae_on_its_rows(layer: "saeflow.LayerView") -> None:
    feature = layer.feature(int(layer.index.features.sort("count", descending=True)["feature"][0]))
    active = feature.activations
    with torch.no_grad():
        encoded = layer.sae.activations(layer.rows().stream, torch.tensor([feature.feature]))[:, 0].numpy()
    np.testing.assert_allclose(active["value"].to_numpy(), encoded[active["index"].to_numpy()], rtol=1e-5)
    assert (encoded > 0).sum() == active.height
    assert feature.statistics["count"] == active.filter(~pl.col("special")).height
    assert torch.equal(feature.direction, layer.sae.W_dec[feature.feature])
    assert repr(feature).startswith(f"<feature {feature.feature} of layer 17: active in ")


def test_a_feature_s_examples_and_neighbours_are_the_index_s(layer: "saeflow.LayerView") -> None:
    feature = layer.feature(3)
    examples = feature.examples(quantiles=2, contexts=1)
    assert examples["feature"].unique().to_list() == [3] and examples["quantile"].to_list() == [2, 1]
    strongest = feature.activations.filter(~pl.col("special"))["value"].max()
    assert examples["value"][0] == pytest.approx(strongest)
    directions = torch.nn.functional.normalize(layer.sae.W_dec.detach(), dim=1)
    near = feature.neighbours.sort("rank").row(0, named=True)
    assert near["cosine"] == pytest.approx(float(directions[3] @ directions[near["neighbour"]]), abs=1e-5)
    assert set(feature.coactivation["feature"]) == {3} == set(feature.positions["feature"])


def test_the_ranking_is_the_one_that_the_study_made(mini_workspace: Path, layer: "saeflow.LayerView") -> None:
    assert layer.read_ranked is not None
    assert layer.ranking.concept.name == "gender" and layer.languages == ("en", "ar")


def test_the_top_features_are_the_ranking_s_with_their_strongest_association(layer: "saeflow.LayerView") -> None:
    top = layer.features.top("gender", 4)
    assert top["feature"].to_list() == layer.ranking.strongest()[:4] and top["rank"].to_list() == [1, 2, 3, 4]
    tested = layer.ranking.associations.filter(pl.col("position_set").is_in(list(layer.concept.decision_sets)))
    best = tested.filter(feature=top["feature"][0])["auroc"] - 0.5
    assert abs(top["auroc"][0] - 0.5) == pytest.approx(best.abs().max())
    assert layer.features.table.equals(layer.index.features) and len(layer.features) == 128
    with pytest.raises(saeflow.BadInput, match=r"^concept 'place': features of this study are ranked by 'gender'"):
        layer.features.top("place")


def test_a_figure_is_found_by_its_own_name_and_shows_itself(study: OpenedStudy) -> None:
    figure = study.figure("emergence")
    assert figure == study.figure("overview-emergence")
    shown = figure._repr_mimebundle_()
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG") and figure.caption in shown["text/plain"]
    with pytest.raises(saeflow.BadInput, match=r"no figure 'emergenc' is there"):
        study.figure("emergenc")


def test_a_result_is_what_the_analysis_returned(mini_workspace: Path, study: OpenedStudy) -> None:
    assert "ablation" in study.results and len(study.results) == 7
    result = study.result("ablation")
    (folder,) = folders(mini_workspace, "ablation").values()
    written = json.loads((folder / "summary.json").read_text("utf-8"))
    assert isinstance(result, saeflow.Result)
    assert [one.as_json() for one in result.estimates] == written["estimates"] and result.metrics == written["metrics"]
    assert result.shown.keys() <= result.tables.keys()
    assert result.tables["effects"].equals(pl.read_parquet(folder / "effects.parquet", glob=False))


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda study: study.layer(18), "layer 18 is not there (there are 0, 9, 17, 33); name it in capture.layers; "),
        (lambda study: study.result("ablatoin"), "no result of 'ablatoin' is there (did you mean 'ablation'?); "),
        (lambda study: study.layer(17).feature(128), "feature 128 is out of range; the layer has features 0-127"),
        (
            lambda study: study.layer(17).rows("captoin"),
            "no rows of segment 'captoin'; there are caption (ar)",
        ),
        (lambda study: study.layer(0).rows("image", "en"), "no rows of segment 'image' and language 'en'; there are "),
    ],
)
def test_what_is_not_there_is_told_in_one_line(study: OpenedStudy, ask: object, told: str) -> None:
    with pytest.raises(saeflow.BadInput) as raised:
        ask(study)  # type: ignore[operator]
    assert told in str(raised.value) and "\n" not in str(raised.value)


def test_an_unknown_study_is_told_with_the_nearest_or_the_command(mini_workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(saeflow.BadInput, match=r"^study 'mnii': has not run in .*; did you mean mini\?$"):
        saeflow.open("mnii", workspace=mini_workspace)
    with pytest.raises(saeflow.BadInput, match=r"; run it: saeflow run demo \(studies here: mini\)$"):
        saeflow.open("demo", workspace=mini_workspace)
    with pytest.raises(saeflow.BadInput, match=r"; run it: saeflow run demo$"):
        saeflow.open("demo", workspace=tmp_path)


def test_all_features_are_described_and_those_shown_the_same_way(study: OpenedStudy) -> None:
    shown = study.result("interpretation").tables["promoted"].filter(layer=17)
    folder = study.described(17)
    assert folder is not None and shown.height
    described = pl.read_parquet(folder / "influences.parquet", glob=False)
    both = shown.join(described, on=["feature", "direction", "rank"])
    assert both.height == shown.height and both["token_id"].equals(both["token_id_right"])
    index = study.index(17)
    assert described["feature"].n_unique() == index.num_features
    counts = pl.read_parquet(folder / "histograms.parquet", glob=False)["counts"].list.sum()
    assert counts.to_list() == index.features["count"].to_list()


def test_the_tokens_that_a_feature_fires_on_are_ranked(layer: "saeflow.LayerView") -> None:
    feature = int(layer.index.features.sort("rate_caption", descending=True)["feature"][0])
    found = layer.feature(feature).tokens
    assert found["rank"].sum() == pytest.approx(1) and (found["lift"] > 0).all() and (found["mean"] > 0).all()


def test_what_is_missing_is_told_and_the_rest_can_be_read(copied: Path) -> None:
    shutil.rmtree(folders(copied, "index_features")[9])
    shutil.rmtree(folders(copied, "rank_features")[17])
    for step in ("report", "ablation"):
        shutil.rmtree(copied / "artifacts" / step)
    study = saeflow.open("mini", workspace=copied)
    assert study.layers == (0, 17, 33) and not study.finished
    for ask in (lambda: study.layer(9), lambda: study.report, lambda: study.result("ablation")):
        with pytest.raises(saeflow.BadInput, match=r"; what is missing is made by: saeflow run mini$"):
            ask()
    assert study.layer(17).read_ranked is None
    assert study.layer(17).rows("caption", "en").tokens.height > 0


def test_what_is_damaged_is_not_read(copied: Path) -> None:
    path = folders(copied, "train_sae")[33] / "sae_weights.safetensors"
    content = bytearray(path.read_bytes())
    path.unlink()  # the file itself is another workspace's too
    content[-1] ^= 1
    path.write_bytes(content)
    study = saeflow.open("mini", workspace=copied)
    with pytest.raises(saeflow.BadInput, match=r"sae_weights\.safetensors.*; what is damaged is made again by: "):
        study.layer(33)
    assert study.layer(17).layer == 17


def test_a_variant_without_its_report_gives_way_to_one_that_has_it(copied: Path) -> None:
    (record,) = (copied / "studies").glob("*.json")
    written = json.loads(record.read_text("utf-8"))
    later = {**written, "time": written["time"] + 1, "report": "report/0000"}
    (copied / "studies" / "mini-0000.json").write_text(json.dumps(later))
    assert saeflow.open("mini", workspace=copied).key == record.stem
    assert saeflow.open("mini-0000", workspace=copied).key == "mini-0000"
    shutil.rmtree(copied / "artifacts" / "report")
    assert saeflow.open("mini", workspace=copied).key == "mini-0000"
