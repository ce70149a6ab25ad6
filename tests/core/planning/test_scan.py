"""The units of a concept scan: what decides their fingerprints, and what becomes of SAEs that cannot be used."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.concepts.registry import Registry, SAEEntry
from core.errors import BadInput
from core.planning.concept_file import CONCEPT_FILES
from core.planning.located import Reader
from core.planning.model_source import FoundModel
from core.planning.scan import ScanPlan, plan_scan
from core.planning.scan_sources import FoundSAE, ScanSources, pin_scan, read_scan_sources
from core.planning.versions import closure
from core.store.hashes import HashMemo
from core.store.steps import CAPTURE_FRAGMENTS, ENCODE_SAE, RANK_CONCEPT, StepSpec
from core.study.concept_scan import ConceptScan


def entry(layer: int, name: str = "a") -> SAEEntry:
    return SAEEntry(key=f"{name}{layer}", layer=layer, width=64, l0=8, format="sae_lens", path=f"/saes/{name}{layer}")


def sources(*entries: SAEEntry) -> ScanSources:
    saes = tuple(FoundSAE(one, Path(one.path), f"content of {one.key}") for one in entries)
    model = FoundModel("weights", None, Path("/model"), None)
    return ScanSources(Path("/a.csv"), "text", model, Registry(model="m", entries=entries), saes)


SCAN = ConceptScan(name="kindness", description="Kindness.", sentences="/a.csv", registry="/r.yaml")


def plan(scan: ConceptScan = SCAN, found: ScanSources | None = None, without: dict[str, str] | None = None) -> ScanPlan:
    return plan_scan(scan, found or sources(entry(3), entry(5)), 450, without or {})


def refs(found: ScanPlan, stage: str) -> list[str]:
    return [unit.artifact.ref for unit in found.stages[stage]]


def test_sentences_are_cut_into_shards_and_each_sae_is_a_unit() -> None:
    found = plan()
    assert [unit.recipe["sentences"] for unit in found.stages["fragments"]] == [[0, 200], [200, 400], [400, 450]]
    assert found.stages["fragments"][0].recipe["layers"] == [3, 5]
    assert [unit.name for unit in found.encoded] == ["a3", "a5"]
    assert list(found.stages) == ["sentences", "fragments", "encode", "rank", "examine", "report"]


def test_where_files_lie_and_how_fast_they_are_read_decides_nothing() -> None:
    moved = [one.model_copy(update={"path": f"/elsewhere/{one.key}"}) for one in (entry(3), entry(5))]
    found = sources(*moved)
    found = replace(found, saes=tuple(replace(one, content=f"content of {one.entry.key}") for one in found.saes))
    fast = SCAN.model_copy(update={"fragments": SCAN.fragments.model_copy(update={"token_budget": 64})})
    for other in (plan(found=found), plan(fast)):
        for stage in ("sentences", "fragments", "encode", "rank", "examine"):
            assert refs(other, stage) == refs(plan(), stage)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"ranking": {"top": 7}}, ["sentences", "fragments", "encode"]),
        ({"output": {"features": 1}}, ["sentences", "fragments", "encode", "rank"]),
        ({"precision": "float32"}, ["sentences", "fragments"]),
        ({"held_out": 0.4}, ["fragments", "encode"]),
        ({"seed": 1}, ["fragments", "encode"]),
        ({"description": "Kindness is kind."}, ["sentences", "fragments", "encode", "rank", "examine"]),
        ({"compute_dtype": "bfloat16"}, ["sentences"]),
    ],
)
def test_a_change_makes_what_depends_on_it_and_no_more(changes: dict[str, object], kept: list[str]) -> None:
    own, other = plan(), plan(ConceptScan.model_validate({**SCAN.model_dump(), **changes}))
    same = [stage for stage in own.stages if refs(own, stage) == refs(other, stage)]
    assert same == kept


def test_another_sae_is_one_more_unit_and_the_others_stay() -> None:
    more = plan(found=sources(entry(3), entry(5), entry(5, "b")))
    assert refs(more, "encode")[:2] == refs(plan(), "encode")
    assert refs(more, "fragments") == refs(plan(), "fragments")


def test_a_neuronpedia_id_makes_the_report_and_no_more() -> None:
    named = sources(entry(3).model_copy(update={"neuronpedia": "gemma/3-res"}), entry(5))
    before, after = plan(), plan(found=named)
    assert [stage for stage in before.stages if refs(before, stage) != refs(after, stage)] == ["report"]


def test_one_that_failed_is_left_out_of_the_ranking_and_named_in_the_report() -> None:
    found = plan(without={"a5": "damaged"})
    assert [unit.name for unit in found.encoded] == ["a3"] and refs(found, "encode") == refs(plan(), "encode")[:1]
    assert refs(found, "fragments") == refs(plan(), "fragments")
    assert found.report.recipe["left_out"] == {"a5": "damaged"}
    assert found.key != plan().key


def test_a_scan_is_called_after_what_it_sets(tmp_path: Path) -> None:
    path = tmp_path / "kindness.yaml"
    path.write_text("name: kindness\ndescription: Kindness.\nsentences: kindness.csv\n", encoding="utf-8")
    assert CONCEPT_FILES.load(path).title == "kindness"
    other = CONCEPT_FILES.load(path, ["registry=/saes/mine.yaml", "ranking.top=5"])
    assert other.title == "kindness · registry=mine.yaml, ranking.top=5"
    assert other.folder.startswith("concept-kindness+registry=mine.yaml")
    of_study = CONCEPT_FILES.load(path, ["registry=study:demo"])
    assert (of_study.title, of_study.folder) == ("kindness · study=demo", "concept-kindness+study=demo")


def test_whether_a_scan_stops_at_a_bad_sae_is_no_part_of_its_name_or_its_results(tmp_path: Path) -> None:
    path = tmp_path / "kindness.yaml"
    path.write_text("name: kindness\ndescription: Kindness.\nsentences: kindness.csv\n", encoding="utf-8")
    lenient, strict = (
        CONCEPT_FILES.load(path, ["registry=study:demo"]),
        CONCEPT_FILES.load(path, ["registry=study:demo", "strict=true"]),
    )
    assert strict.strict and strict.title == lenient.title
    assert plan(strict).key == plan(lenient).key


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: kindness\nsentences: a.csv\n", "description: missing; add it"),
        ("name: kindness\ndescription: K.\nsentences: a.csv\nregistery: x\n", "did you mean 'registry'?"),
        ("- a\n", "a concept is a mapping"),
        (
            "name: kindness\ndescription: K.\nsentences: a.csv\nranking: {permutations: 5}\n",
            "ranking.permutations: 5 is",
        ),
    ],
)
def test_a_wrong_concept_is_told_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "kindness.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=told.replace("?", r"\?")):
        CONCEPT_FILES.load(path)


def test_what_is_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sentence,concept_strength_label\n", encoding="utf-8")
    scan = SCAN.model_copy(update={"sentences": "a.csv", "registry": "none"})
    with pytest.raises(BadInput, match=r"registry: 'none\.yaml' does not exist"):
        pin_scan(scan, [tmp_path], [tmp_path])
    with pytest.raises(BadInput, match=r"sentences: 'b\.csv' does not exist"):
        pin_scan(scan.model_copy(update={"sentences": "b.csv"}), [tmp_path], [tmp_path])
    with pytest.raises(BadInput, match="--registry FILE, or --study NAME"):
        pin_scan(scan.model_copy(update={"registry": None}), [tmp_path], [tmp_path])


@pytest.mark.parametrize(
    ("step", "module"),
    [
        (CAPTURE_FRAGMENTS, "core.activations.capture"),
        (ENCODE_SAE, "core.activations.table"),
        (RANK_CONCEPT, "core.concepts.assembled"),
        (RANK_CONCEPT, "core.concepts.matched_maxima"),
    ],
)
def test_the_code_that_makes_a_unit_is_part_of_its_step_s_version(step: StepSpec, module: str) -> None:
    assert module in closure(step.roots)


def test_a_model_that_is_nowhere_is_named_with_the_option_for_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sentence,concept_strength_label\n", encoding="utf-8")
    scan = SCAN.model_copy(update={"sentences": str(tmp_path / "a.csv")})
    reader = Reader(HashMemo(tmp_path / "hashes.json"), lambda package, content: None)
    with pytest.raises(BadInput, match=r"^registry: its model 'none-such' is not found here; .*--model"):
        read_scan_sources(scan, Registry(model="none-such", entries=(entry(3),)), reader)
