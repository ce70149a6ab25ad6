"""Every analysis there is, in the order of the report; nothing heavy is imported until one is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType, ModuleType


@dataclass(frozen=True)
class Entry:
    """One analysis: `module` has `run(inputs, config) -> Result`; `figures` has `figures(tables)`.

    `config` is its field in `study.analyses` (null there: not run); `question` is what it answers, for readers.
    """

    module: str
    figures: str
    config: str
    needs_images: bool
    needs_model: bool
    question: str

    def load(self) -> ModuleType:
        """The analysis' module, imported now."""
        return import_module(self.module)

    def load_figures(self) -> ModuleType:
        """The module that draws its figures, imported now."""
        return import_module(self.figures)


def _entry(name: str, question: str, *, needs_images: bool = False, needs_model: bool = True) -> Entry:
    return Entry(f"core.analysis.{name}", f"core.figures.{name}", name, needs_images, needs_model, question)


ANALYSES: Mapping[str, Entry] = MappingProxyType(
    {
        "overview": _entry("overview", "How good are the SAEs, and in which layers and features does gender show?"),
        "interpretation": _entry(
            "interpretation", "What do the features that go with gender fire on, and what do they promote?"
        ),
        "ablation": _entry(
            "ablation", "What happens to the gendered word when the features that go with gender are taken out?"
        ),
        "visual_patterns": _entry(
            "visual_patterns", "Where in the image do the features that go with gender fire?", needs_images=True
        ),
        "amplification": _entry(
            "amplification", "How does the output answer to the dose when a gender direction is turned up or down?"
        ),
        "evolution": _entry(
            "evolution", "Which features persist from layer to layer, and which are born and die?", needs_model=False
        ),
        "qualitative": _entry(
            "qualitative", "What do captions look like before and after features are ablated or amplified?"
        ),
    }
)
"""Analyses by name."""
