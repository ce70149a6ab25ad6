"""What an analysis says of itself; its code is named by strings, so that reading this imports nothing heavy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from core.errors import BadInput
from core.study.section import Section

if TYPE_CHECKING:
    from core.data.concept import Concept

Need = Literal["gpu", "images", "stream", "head", "layers", "words", "pairs"]
"""What an analysis cannot do without.

gpu: a GPU worker, where there are any. images: pictures, all on one grid of cells. stream: the residual stream token
by token, and the model that made it. head: rows that the vocabulary head can read. layers: two layers at least. words:
words by which captions name the concept. pairs: such words that have a counterpart on its other side.
"""


@dataclass(frozen=True)
class Analysis:
    """One analysis: its section of the study, its code, and what it needs.

    Args:
        config: its section, a field of the study's `analyses`; every field has a default.
        run: `module:function` with `run(inputs: AnalysisInputs, config) -> Result`.
        figures: `module:function` with `figures(tables) -> dict[str, Figure]`, or `figures(tables, concept)`.
        version: bumped when its result changes.
        title: its heading in the report; `{concept}`, `{Concept}`, `{adjective}` and `{those}` (of either side)
            stand for the concept's words.
        question: what it answers, for readers, with the same words; ends with a question mark.
        needs: what it cannot do without; a study that lacks it leaves the analysis out and says why.
        needs_with: what it cannot do without either where a field of its section is set; not `gpu`, which decides the
            workers of all its units.
        place: where it stands in a study and in a run; the lower comes first, then the order of names.
        chapter: where it stands in the report, likewise.
        best_figure: the figure that the report's first screen shows; the first of all where it is not drawn.
        concept: the only concept that it is about; null for any.
        figures_name_concept: whether `figures` takes the concept beside the tables, to speak of it in its words.
        beside_frozen: whether it reads each layer's frozen dictionary too, where `sae.frozen` trains one.
        beside_seed: whether it reads a second SAE of each layer too, where `sae.seed` trains some from several seeds.
        by_default: whether a study that says nothing of it runs it; one from elsewhere is always asked for.
        name: its field in the study, filled in by the registry.
        distribution: name and version of the package that it comes from; null for saeflow's own.
    """

    config: type[Section]
    run: str
    figures: str
    version: int
    title: str
    question: str
    needs: frozenset[Need] = frozenset()
    needs_with: Mapping[str, frozenset[Need]] = field(default_factory=dict)
    place: int = 1000
    chapter: int = 1000
    best_figure: str = ""
    concept: str | None = None
    figures_name_concept: bool = False
    beside_frozen: bool = False
    beside_seed: bool = False
    by_default: bool = True
    name: str = ""
    distribution: tuple[str, str] | None = None

    def named(self, name: str, distribution: tuple[str, str] | None = None) -> "Analysis":
        """The analysis under its name, and with the package that it comes from."""
        return replace(self, name=name, distribution=distribution)

    def title_of(self, concept: "Concept") -> str:
        """Its heading, of a concept."""
        return _worded(self.title, concept)

    def question_of(self, concept: "Concept") -> str:
        """What it answers, of a concept."""
        return _worded(self.question, concept)

    def default(self) -> Section | None:
        """Its section where a study says nothing; null leaves it out."""
        return self.config() if self.by_default and self.distribution is None else None

    def needs_of(self, section: Section) -> frozenset[Need]:
        """What it cannot do without as a study's section has it."""
        return self.needs.union(*(more for name, more in self.needs_with.items() if getattr(section, name)))

    def load_run(self) -> Callable[..., Any]:
        """`run`, imported now.

        Raises:
            BadInput: there is no such function.
        """
        return _load(self.name, "run", self.run)

    def load_figures(self) -> Callable[..., Any]:
        """`figures`, imported now.

        Raises:
            BadInput: there is no such function.
        """
        return _load(self.name, "figures", self.figures)

    @property
    def modules(self) -> tuple[str, str]:
        """The modules of its code."""
        return self.run.partition(":")[0], self.figures.partition(":")[0]


def _worded(text: str, concept: "Concept") -> str:
    from core.data.concept import capitalised  # with Polars, which a declaration does without

    words = {"concept": concept.name, "Concept": capitalised(concept.name), "adjective": concept.adjective}
    words["those"] = " and ".join(map(concept.those, concept.sides))
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)  # a package's own braces stay
    return text


def _load(name: str, field: str, place: str) -> Callable[..., Any]:
    module, _, function = place.partition(":")
    try:
        found = getattr(import_module(module), function, None)
    except ImportError as error:
        raise BadInput(f"analysis {name}: {field} {place!r} cannot be imported ({error})") from error
    if not callable(found):
        raise BadInput(f"analysis {name}: {field} {place!r} is no function; write module:function")
    return found  # type: ignore[no-any-return]
