"""The model, where it comes as a package."""

from collections.abc import Mapping

from core.lm.gguf import convert_package
from tasks.context import Work


def convert_model(work: Work) -> Mapping[str, float]:
    """Turn a GGUF package into a transformers checkpoint, once."""
    convert_package(work.recipe["package"], work.out)
    return {}
