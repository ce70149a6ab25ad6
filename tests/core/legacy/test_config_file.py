"""An old configs/config.yaml as a study: what it said is kept, what it cannot say is named."""

from pathlib import Path

import pytest
import yaml

from core.errors import BadInput
from core.legacy.config_file import convert_config
from core.planning.loading import load_study

OLD = """
paths: {processed_data: ./data/processed, results: ./results}
model: {name: google/gemma-3-4b-it, dtype: float16, device: cuda, max_new_tokens: 100}
layers: {extraction: [2, 6, 10, 14, 18], primary_analysis: [10, 14, 30]}
data:
  num_samples: 2000
  val_split: 0.1
  batch_size: 1
  image_size: 448
  english_prompt: Describe the person in this image in detail.
  arabic_prompt: صف الشخص في هذه الصورة بالتفصيل.
sae: {expansion_factor: 8, l1_coefficient: 5e-4, epochs: 50, batch_size: 1024, learning_rate: 1e-4, warmup_steps: 1000,
  normalize_decoder: true, tied_weights: false, weight_decay: 0.0, patience: 10, min_delta: 1e-5, momentum: 0.9}
steering: {strengths: [-2.0, -1.0, 0.0, 1.0], features_to_steer: 20}
logging: {level: INFO, use_wandb: true, wandb_project: sae-captioning-bias, wandb_entity: someone}
slurm: {partition: gpu}
seed: 42
"""


def converted(tmp_path: Path, text: str, name: str = "config.yaml"):  # type: ignore[no-untyped-def]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    made = convert_config(path)
    study = tmp_path / "study.yaml"
    study.write_text(made.text(name), encoding="utf-8")
    return made, load_study(study)


def test_what_the_old_file_says_is_in_the_study(tmp_path: Path) -> None:
    _, study = converted(tmp_path, OLD)
    assert (study.name, study.tracking.experiment) == ("sae-captioning-bias", "sae-captioning-bias")
    assert (study.model.path, study.model.compute_dtype) == ("google/gemma-3-4b-it", "bfloat16")
    assert study.model.instruction_ar == "صف الشخص في هذه الصورة بالتفصيل."
    assert study.capture.layers == (2, 6, 10, 14, 18) and study.capture.batch_size == 1
    assert study.data.num_samples == 2000 and study.data.seed == 42 and study.data.source == "table"
    sae = study.sae
    assert (sae.architecture, sae.l1_coefficient, sae.expansion, sae.epochs) == ("relu", 5e-4, 8, 50)
    assert (sae.batch_size, sae.learning_rate, sae.early_stop, sae.seed) == (1024, 1e-4, 10, 42)
    assert study.analyses.ablation is not None and study.analyses.ablation.layers == (10, 14)
    assert study.analyses.amplification is not None and study.analyses.amplification.doses == (-2, -1, 0, 1)


def test_what_it_cannot_say_is_named_key_by_key(tmp_path: Path) -> None:
    made, _ = converted(tmp_path, OLD)
    assert made.unknown == ["sae.momentum: 0.9"]
    told = "\n".join(made.decide)
    for word in ("float16", "layers.primary_analysis: [30]", "data.val_split", "l1_coefficient", "data.path", "doses"):
        assert word in told
    left = "\n".join(made.left)
    for key in (
        "model.device",
        "data.image_size",
        "sae.warmup_steps",
        "logging.use_wandb",
        "slurm.partition",
        "paths.",
    ):
        assert key in left
    assert "tied_weights" not in left + told  # it is so here
    head = made.text("config.yaml").splitlines()
    assert head[0] == "# config.yaml, rewritten by `saeflow convert-config`."
    assert "# unknown, and left out: sae.momentum: 0.9" in head


@pytest.mark.parametrize(
    ("sae", "expected"),
    [
        ("{k: 32}", {"architecture": "topk", "k": 32}),
        ("{activation: topk, topk_k: 32, l1_coefficient: 1e-3}", {"architecture": "topk", "k": 32}),
        ("{activation: relu, topk_k: 32, l1_coefficient: 1e-3}", {"architecture": "relu", "l1_coefficient": 1e-3}),
        ("{sae_type: gated, k: 20}", {"architecture": "gated", "k": 20}),
        ("{l1_lambda: 0.002, lr: 0.001, d_model: 8, d_hidden: 64}", {"l1_coefficient": 0.002, "expansion": 8}),
        ("{expansion_factor: 4.0}", {"expansion": 4, "architecture": "topk", "k": 64}),
    ],
)
def test_what_keeps_it_sparse(tmp_path: Path, sae: str, expected: dict[str, object]) -> None:
    _, study = converted(tmp_path, f"model: {{name: m}}\nsae: {sae}\n", "mine.yaml")
    assert study.name == "mine"
    assert {key: getattr(study.sae, key) for key in expected} == expected


def test_one_language_and_other_names_of_the_same(tmp_path: Path) -> None:
    text = "model: {name: m}\nlanguages: [arabic]\ndata: {captions_file: raw/captions.csv}\nwandb: {project: p}\n"
    _, study = converted(tmp_path, text + "layers: {extraction: 0-3}\ntraining: {num_epochs: 3}\n")
    assert study.data.path == "raw/captions.csv" and study.data.columns.caption_en is None
    assert study.capture.layers == (0, 1, 2, 3) and study.sae.epochs == 3 and study.tracking.experiment == "p"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sae: {k: 3}", r"config\.yaml: model\.name is missing; a study needs a model"),
        ("model: {name: m}\nsae: {epochs: fifty}", r"config\.yaml: sae\.epochs: 'fifty' is wrong"),
        ("model: {name: m}\nlayers: {extraction: [a]}", r"config\.yaml: capture\.layers"),
        ("- a\n- b", r"config\.yaml: holds list; a configuration is a mapping"),
        ("a: [", r"config\.yaml: not valid YAML"),
        ("name: x\ncapture: {layers: all}\nmodel: {path: m}", "is a study already"),
    ],
)
def test_what_cannot_become_a_study_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        converted(tmp_path, text)
    assert yaml.safe_load(OLD)["sae"]["learning_rate"] == "1e-4"  # YAML 1.1 reads it as text


MODEL = "model: {name: m}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("languages: true", "languages: True names neither"),
        ("languages: 3", "languages: 3 names neither"),
        ("layers: {extraction: [9, 17], primary_analysis: ['x', 3]}", "layers.primary_analysis: ['x', 3]"),
        ("layers: {extraction: [9, 17], primary_analysis: [[9]]}", "layers.primary_analysis: [[9]]"),
        ("sae: {d_sae: 20480, d_in: 0}", "sae.expansion"),
        ("paths: {processed_data: '${root}/x'}", "paths.processed_data is '${root}/x'"),
    ],
)
def test_what_cannot_be_understood_is_to_decide_and_stays_out(tmp_path: Path, text: str, told: str) -> None:
    made, _ = converted(tmp_path, MODEL + text)
    assert any(line.startswith(told) for line in made.decide)
    assert "${" not in str(made.study)


def test_other_ways_to_say_layers_languages_and_widths(tmp_path: Path) -> None:
    text = "layers: {extraction: {start: 0, end: 6, step: 2}}\nlanguages: english\nsae: {hidden_dim: 64, input_dim: 8}"
    made, study = converted(tmp_path, MODEL + text)
    assert study.capture.layers == (0, 2, 4) and study.sae.expansion == 8
    assert made.study["data"]["columns"] == {"caption_ar": None}
    assert converted(tmp_path, MODEL + "layers: {extraction: !!set {9, 17}}")[1].capture.layers == (9, 17)


@pytest.mark.parametrize("end", ["\\n", "\\r", "\\x85", "\\u2028"])
def test_a_key_with_a_line_end_stays_a_comment(tmp_path: Path, end: str) -> None:
    made, _ = converted(tmp_path, f'{MODEL}"a{end}b: [": 3\n')
    assert yaml.safe_load(made.text("x")) == made.study


@pytest.mark.parametrize(
    ("text", "message"),
    [("model: &a\n  name: x\n  self: *a\n", "refers to itself"), ('model: {name: "${M}"}', "a reference that nothing")],
)
def test_references_that_lead_nowhere_are_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        converted(tmp_path, text)


def turned(content: object) -> object:
    """The same mapping, its keys in the opposite order at every depth."""
    return {key: turned(content[key]) for key in reversed(content)} if isinstance(content, dict) else content


CONTRADICTORY = """
model: {path: b, name: a}
model_name: c
seed: 42
sae: {seed: 1, k: 32, topk: 16, training: {lr: 0.1}, learning_rate: 0.2, lr: 0.3}
training: {lr: 0.4, k: 8}
data: {arabic_column: ar, num_samples: 10, max_samples: 20}
num_samples: 30
languages: english
dtype: float32
"""


@pytest.mark.parametrize("text", [OLD, CONTRADICTORY])
def test_the_order_of_keys_decides_nothing(tmp_path: Path, text: str) -> None:
    made, _ = converted(tmp_path, text)
    again, _ = converted(tmp_path, yaml.safe_dump(turned(yaml.safe_load(text)), sort_keys=False, allow_unicode=True))
    assert made.text("config.yaml") == again.text("config.yaml")


def test_of_two_keys_for_one_field_one_counts_and_the_other_is_to_decide(tmp_path: Path) -> None:
    made, study = converted(tmp_path, CONTRADICTORY)
    assert (study.model.path, study.data.num_samples, study.data.columns.caption_ar) == ("a", 10, None)
    assert (study.sae.seed, study.data.seed, study.sae.learning_rate, study.sae.k) == (1, 42, 0.1, 32)
    for line in (
        "model.path: 'a' is written, and model.path says 'b'",
        "model.path: 'a' is written, and model_name says 'c'",
        "sae.seed: 1 is written, and seed says 42",
        "sae: 32 is taken for its k, and training.k says 8",
        "data.columns.caption_ar: None is written, and data.arabic_column says 'ar'",
    ):
        assert line in made.decide
    with pytest.raises(BadInput, match=r"model\.name is 'a' and 'b'; keep the right one"):
        converted(tmp_path, "model: {name: a}\nmodel.name: b\n")
