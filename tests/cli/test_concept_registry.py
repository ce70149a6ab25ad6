"""`saeflow concept registry`, as a user types it."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from core.concepts.registry import read_registry
from core.sae.formats import Origin, save_sae
from core.store.units import Unit
from core.store.workspace import Workspace
from tests.core.concepts.lying_saes import D, F, sae_lens
from tests.core.sae.dictionary import random_sae
from tests.flows.commands import saeflow_here

LISTING = Path(__file__).parents[1] / "core" / "concepts" / "pretrained_saes_excerpt.yaml"


def command(tmp_path: Path, *words: str) -> tuple[int, str, str]:
    ended = saeflow_here(tmp_path / "workspace", "concept", "registry", *words)
    return ended.returncode, ended.stdout, ended.stderr


def config(folder: Path, layers: int = 3) -> Path:
    folder.mkdir()
    told = {"model_type": "acme", "num_hidden_layers": layers, "hidden_size": D, "vocab_size": 9}
    (folder / "config.json").write_text(json.dumps(told))
    return folder


def test_a_registry_from_saelens_list_is_shown_and_written(tmp_path: Path) -> None:
    out = tmp_path / "gemma.yaml"
    words = ("--listing", str(LISTING), "--model", "gemma-2-2b", "--width", "16k", "--num-layers", "3")
    code, told, wrong = command(tmp_path, *words, "--out", str(out))
    assert code == 1 and "layer 12; the model has layers 0 to 2" in wrong
    assert not out.exists()
    code, told, wrong = command(tmp_path, *words[:-1], "26", "--out", str(out))
    assert code == 0, wrong
    lines = [line.strip() for line in told.splitlines()]
    assert lines[0] == "gemma-2-2b" and lines[1].split()[-3:] == ["L0s,", "16k", "features"]
    assert lines[2].split() == ["0", "resid_post", "13,", "105"]
    assert "SAEs: 3; features: 49,152; with a Neuronpedia id: 2" in lines
    missing = ", ".join(str(layer) for layer in range(26) if layer not in (0, 12))
    assert f"of the model's 26 layers, without an SAE: {missing}" in lines
    assert "left out (1): in the layout dictionary_learning_1, which is not read here" in lines
    assert lines[-1] == str(out) and len(read_registry(out).entries) == 3


def test_saelens_is_found_where_it_is_installed_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "installed" / "sae_lens"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(package.parent))
    words = ("--saelens", "--model", "gemma-2-2b")
    code, _, wrong = command(tmp_path, *words)
    assert code == 1 and "name its pretrained_saes.yaml (--listing)" in wrong
    shutil.copy(LISTING, package / "pretrained_saes.yaml")
    code, told, wrong = command(tmp_path, *words)
    assert code == 0 and "Nothing is written yet: --out FILE writes it." in told, wrong
    assert "sae_lens" not in sys.modules


def test_a_registry_of_a_folder_is_made_and_checked(tmp_path: Path) -> None:
    for layer in (0, 2):
        sae_lens(tmp_path / "saes" / f"l{layer}", layer)
    out, model = tmp_path / "mine.yaml", config(tmp_path / "lm")
    code, told, wrong = command(tmp_path, "--folder", str(tmp_path / "saes"), "--out", str(out))
    assert code == 0 and "up to layer 2, without an SAE: 1" in told, wrong
    code, told, wrong = command(tmp_path, "--check", str(out), "--model-folder", str(model))
    assert (code, wrong) == (0, "") and "2 of 2 SAEs can be used" in told
    shutil.rmtree(tmp_path / "saes" / "l0")
    code, told, wrong = command(tmp_path, "--check", str(out))
    assert code == 0 and "1 of 2 SAEs can be used" in told and f"warning: l0: {tmp_path}/saes/l0 does not" in wrong
    assert "--model-folder compares its layers, width and name" in told
    code, _, wrong = command(tmp_path, "--check", str(out), "--strict")
    assert code == 1 and wrong.startswith(f"error: l0: {tmp_path}/saes/l0 does not exist")
    code, _, wrong = command(tmp_path, "--check", str(out), "--model-folder", str(config(tmp_path / "small", 2)))
    assert code == 1 and "l2: layer 2; the model has layers 0 to 1" in wrong
    other = config(tmp_path / "another-lm")
    code, _, wrong = command(tmp_path, "--check", str(out), "--model-folder", str(other))
    assert code == 0 and "SAEs trained on acme/lm are used on another-lm: 1" in wrong


def test_a_registry_of_a_studys_own_saes(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    units = []
    for layer in (0, 3):
        sae = Unit("train_sae", 1, str(layer), {"layer": layer})
        inputs = {"shards": (), "layer": (sae.artifact,), "sae": (sae.artifact,)}
        units += [sae, Unit("index_features", 1, str(layer), {"layer": layer}, inputs)]
        staged = workspace.store.staging(sae.artifact)
        save_sae(random_sae(D, F, 2), staged, Origin("acme", layer))
        (staged / "metrics.json").write_text(json.dumps({"held_out_l0": 1.75}))
        workspace.store.publish(staged, sae.artifact, {"unit": sae.to_json(), "label": sae.label, "study": "cats"})
        staged = workspace.store.staging(units[-1].artifact)
        told = {"unit": units[-1].to_json(), "label": units[-1].label, "study": "cats"}
        workspace.store.publish(staged, units[-1].artifact, told)
    study = {"name": "cats", "model": {"path": "/models/acme-lm"}, "capture": {"site": "resid_post"}}
    refs = [unit.artifact.ref for unit in units]
    workspace.remember("cats-1", {"study": study, "artifacts": refs, "report": Unit("report", 1, "", {}).artifact.ref})
    out = tmp_path / "cats.yaml"
    code, told_here, wrong = command(tmp_path, "--study", "cats", "--out", str(out))
    assert code == 0 and "acme-lm" in told_here, wrong
    made = read_registry(out)
    assert made.model == "/models/acme-lm"  # a scan that is given the file opens it
    assert [(one.key, one.layer, one.l0, one.width) for one in made.entries] == [
        ("cats/layer_0", 0, 1.75, F),
        ("cats/layer_3", 3, 1.75, F),
    ]
    code, told_here, wrong = command(tmp_path, "--check", str(out), "--model-folder", str(config(tmp_path / "lm", 4)))
    assert (code, wrong) == (0, "") and "2 of 2 SAEs can be used" in told_here
    code, _, wrong = command(tmp_path, "--study", "dogs")
    assert code == 1 and "study 'dogs': has not run in" in wrong


def test_an_older_scans_list(tmp_path: Path) -> None:
    path = tmp_path / "gemma_scope_16k_configurations.json"
    path.write_text(
        json.dumps([{"layer": 0, "average_l0": 105, "path": "layer_0/width_16k/average_l0_105/params.npz"}])
    )
    code, told, wrong = command(tmp_path, "--configurations", str(path))
    assert code == 0 and "SAEs: 1; features: 16,384;" in told and told.startswith("google/gemma-2-2b"), wrong


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say where the SAEs come from, with one of --saelens, --configurations, --folder, --study, --check"),
        (("--folder", "a", "--study", "b"), "--folder and --study were given"),
        (("--folder", "none"), "none: no such folder"),
        (("--folder", ".", "--width", "wide"), "--width wide: write a number of features, such as 16384 or 16k"),
        (("--listing", str(LISTING), "--model", "llama"), "no SAEs of llama; it has those of gemma-2-2b"),
        (("--check", "none.yaml"), "none.yaml: cannot be read"),
        (("--folder", ".", "--model-folder", "hub:acme/none-such"), "not in the hub's local cache: `hf download"),
        (("--folder", ".", "--model-folder", "none"), "config.json"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    code, _, wrong = command(tmp_path, *words)
    assert code == 1 and message in wrong and "Traceback" not in wrong and wrong.count("\n") == 1


def test_the_help_teaches(tmp_path: Path) -> None:
    code, told, _ = command(tmp_path, "--help")
    assert code == 0 and "one line per SAE" in told and "saeflow concept registry --check" in told
