"""A transformers model with hook points at every site: run it, read its tensors and change them, by name.

>>> import saeflow
>>> model = saeflow.lm.load("tiny-model")  # a folder; or a hub name in the local cache, or package:NAME
>>> batch = model.tokens(["A woman sings.", "A man"])
>>> logits, kept = model.run_with_cache(batch, ["blocks.1.hook_resid_post"])
>>> list(kept["blocks.1.hook_resid_post"].shape) == [*batch.ids.shape, model.d_model]
True

A hook is a function of a point's tensor and a `Hook`; what it returns takes the tensor's place. It is gone with its
`with` block, also after an exception. `limited` keeps it to some rows or tokens, and the others as they are to the bit:

>>> only_the_second = limited(lambda stream, hook: 0 * stream, batch.at(1, -1))
>>> with model.hooks({"blocks.1.hook_resid_post": only_the_second}):
...     patched = model.run(batch)
>>> bool((patched[0] == logits[0]).all()), bool((patched[1] == logits[1]).all())
(True, False)
"""

import tempfile
from pathlib import Path

from core.lm.activation_cache import ActivationCache as ActivationCache
from core.lm.gguf import convert_package
from core.lm.hook_points import Hook as Hook
from core.lm.hook_points import limited as limited
from core.lm.language_model import LanguageModel as LanguageModel
from core.lm.loading import load_model
from core.lm.packages import PACKAGE_PREFIX
from core.lm.texts import TextBatch as TextBatch
from core.planning.model_source import find_model, pinned_model
from core.planning.survey import reader_of
from core.sae.architectures import SparseAutoencoder
from core.sae.places import sae_folder
from core.sae.pretrained import open_pretrained
from core.store.workspace import Workspace
from flows.runtime.settings import open_workspace

__all__ = ["ActivationCache", "Hook", "LanguageModel", "TextBatch", "limited", "load", "load_sae"]


def load(
    name: str | Path, dtype: str = "float32", device: str = "cpu", workspace: str | Path | None = None
) -> LanguageModel:
    """Open a transformers model; nothing is fetched.

    Args:
        name: a checkpoint's folder, a hub name (`OWNER/NAME[@REVISION]`) that is in the local cache, or `package:NAME`
            for a GGUF that comes as a Python package. A package is converted once, into `models` of the workspace.
        dtype: float32 or bfloat16.
        device: of torch.
        workspace: the folder of a package's model; by default the command's, as in `saeflow.open`.

    Raises:
        BadInput: no such model is here, or it cannot be read.
    """
    place = pinned_model(str(name), [Path.cwd()])
    if place.startswith(PACKAGE_PREFIX):
        return LanguageModel(load_model(_converted(place, open_workspace(workspace)), dtype, device))
    return LanguageModel(load_model(Path(place), dtype, device))


def load_sae(place: str | Path) -> SparseAutoencoder:
    """Open an SAE's folder, whoever trained it: saeflow, SAELens, sparsify or Gemma Scope; or `hub:OWNER/REPO/PATH` of
    the local cache.

    Raises:
        BadInput: no SAE is there, or its files do not fit each other.
    """
    return open_pretrained(sae_folder("load_sae", str(place)), None)


def _converted(name: str, workspace: Workspace) -> Path:
    """The package's checkpoint: the one that a study made, or one of its own."""
    found = find_model(name, reader_of(workspace))
    package = name.removeprefix(PACKAGE_PREFIX)
    folder = found.folder or workspace.root / "models" / f"{package}-{found.content[:12]}"
    if not folder.is_dir():
        workspace.check_writable()
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".converting-", dir=folder.parent) as staged:
            convert_package(package, Path(staged) / "model").rename(folder)
    return folder
