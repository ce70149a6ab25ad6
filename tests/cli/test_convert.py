"""`saeflow convert-config`, `import-sae` and `import-activations`, as a user types them."""

from pathlib import Path

import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from cli.app import app
from core.errors import BadInput
from core.planning.loading import load_study
from core.sae.pretrained import open_pretrained

RUNNER = CliRunner()


def typed(*words: str) -> str:
    result = RUNNER.invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_an_old_config_is_printed_or_written_and_never_over_another_file(tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text("model: {name: m}\nsae: {l1_coefficient: 5e-4, momentum: 1}\n")
    printed = typed("convert-config", str(old))
    (tmp_path / "printed.yaml").write_text(printed)
    assert load_study(tmp_path / "printed.yaml").sae.l1_coefficient == 5e-4
    out = tmp_path / "new.yaml"
    assert "unknown, and left out: sae.momentum: 1" in " ".join(
        typed("convert-config", str(old), "--out", str(out)).split()
    )
    assert out.read_text() == printed
    with pytest.raises(BadInput, match=r"new\.yaml: is there already; name a new file"):
        typed("convert-config", str(old), "--out", str(out))


def test_all_layers_of_old_saes_are_rewritten_with_one_command(tmp_path: Path) -> None:
    for layer in (2, 10):
        torch.manual_seed(layer)
        encoder, decoder = torch.nn.Linear(4, 8), torch.nn.Linear(8, 4)
        parts = {"encoder": encoder, "decoder": decoder}
        state = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
        torch.save({"model_state_dict": state, "l1_coefficient": 5e-4}, tmp_path / f"sae_layer_{layer}.pt")
    options = ("--not-centred", "--trained-on", "gemma-3-4b-it@blocks.{layer}.hook_resid_post")
    typed("import-sae", f"{tmp_path}/sae_layer_{{layer}}.pt", f"{tmp_path}/saes/{{layer}}", *options)
    x = torch.randn(5, 4)
    torch.testing.assert_close(
        open_pretrained(tmp_path / "saes" / "10", 4)(x), decoder(torch.relu(encoder(x))).detach()
    )
    assert "blocks.2.hook_resid_post" in (tmp_path / "saes" / "2" / "cfg.json").read_text()
    with pytest.raises(BadInput, match=r"saes/2: is there already"):
        typed("import-sae", f"{tmp_path}/sae_layer_{{layer}}.pt", f"{tmp_path}/saes/{{layer}}", *options)
    with pytest.raises(BadInput, match=r"write \{layer\} in both SOURCE and OUT"):
        typed("import-sae", f"{tmp_path}/sae_layer_{{layer}}.pt", f"{tmp_path}/one")
    with pytest.raises(BadInput, match="no such file for any layer"):
        typed("import-sae", f"{tmp_path}/sae_{{layer}}.pth", f"{tmp_path}/{{layer}}")


def test_activations_with_their_ids_in_a_file(tmp_path: Path) -> None:
    torch.save(torch.ones(3, 4), tmp_path / "layer_7.pt")
    (tmp_path / "ids.txt").write_text("a\nb\nc\n")
    told = typed(
        "import-activations", str(tmp_path / "layer_7.pt"), "--out", str(tmp_path / "rows"), "--language", "en",
        "--ids", str(tmp_path / "ids.txt"),
    )  # fmt: skip
    assert "3 rows of 4 numbers of layers 7" in told
    assert (tmp_path / "rows" / "index.json").exists()


def saved_sae(path: Path) -> None:
    parts = {"encoder": torch.nn.Linear(4, 8), "decoder": torch.nn.Linear(8, 4)}
    state = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    path.parent.mkdir(exist_ok=True)
    torch.save({"state_dict": state, "l1_coefficient": 5e-4}, path)


def test_layers_are_numbers_and_other_signs_of_a_name_stand_for_themselves(tmp_path: Path) -> None:
    saved_sae(tmp_path / "run [a]*" / "sae_02.pt")
    saved_sae(tmp_path / "run ab" / "sae_3.pt")
    source, out = f"{tmp_path}/run [a]*/sae_{{layer}}.pt", f"{tmp_path}/saes/layer_{{layer}}"
    typed("import-sae", source, out, "--not-centred", "--trained-on", "m@blocks.{layer}.hook_resid_post")
    assert [path.name for path in (tmp_path / "saes").iterdir()] == ["layer_2"]
    assert "blocks.2.hook_resid_post" in (tmp_path / "saes" / "layer_2" / "cfg.json").read_text()
    saved_sae(tmp_path / "run [a]*" / "sae_2.pt")
    with pytest.raises(BadInput, match=r"are both of layer 2; move one of them away"):
        typed("import-sae", source, f"{tmp_path}/again/{{layer}}", "--not-centred")


def test_ids_are_lines_without_marks_and_spaces_in_a_file_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(torch.ones(3, 4), tmp_path / "layer_7.pt")
    (tmp_path / "ids.txt").write_bytes("\ufeffa\r\n  b \r\n\r\nc".encode())
    options = ("--out", str(tmp_path / "rows"), "--language", "en", "--ids", "~/ids.txt")
    typed("import-activations", str(tmp_path / "layer_7.pt"), *options)
    assert pl.read_parquet(tmp_path / "rows" / "tokens.parquet")["sample_id"].to_list() == ["a", "b", "c"]
