"""What two sides answer to each question, by language, and where their verdicts differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.data.languages import LANGUAGE_NAMES
from core.reading.made import AskedOf
from core.stats.estimate import Estimate, Verdict, verdict_of

EVERYWHERE = "all"
"""The language of answers over languages."""
Estimates = Mapping[tuple[AskedOf, str], Estimate]
"""By analysis and concept, and by name."""


@dataclass(frozen=True)
class Answered:
    """The verdicts on one analysis's question about a concept in one language; null where a side has not asked it
    there."""

    analysis: str
    concept: str
    question: str
    language: str
    left: Verdict | None
    right: Verdict | None

    @property
    def differs(self) -> bool:
        """Whether both sides asked and came to different verdicts."""
        return None not in (self.left, self.right) and self.left != self.right


def answered(left: Estimates, right: Estimates, questions: Mapping[AskedOf, str]) -> Iterator[Answered]:
    """One per analysis, concept and language that some side answers: the strongest verdict of the estimates that answer
    it."""
    sides = _verdicts(left), _verdicts(right)
    order = [*LANGUAGE_NAMES, EVERYWHERE]
    for asked, language in sorted({*sides[0], *sides[1]}, key=lambda key: (key[0], order.index(key[1]))):
        verdicts = [side.get((asked, language)) for side in sides]
        yield Answered(*asked, questions.get(asked, ""), language, verdicts[0], verdicts[1])


def _verdicts(estimates: Estimates) -> dict[tuple[AskedOf, str], Verdict]:
    found: dict[tuple[AskedOf, str], list[Estimate]] = {}
    for (asked, _), one in estimates.items():
        if one.answers:
            found.setdefault((asked, one.language or EVERYWHERE), []).append(one)
    return {key: verdict_of(several) for key, several in found.items()}
