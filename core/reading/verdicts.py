"""What two sides answer to each question, by language, and where their verdicts differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from core.data.languages import LANGUAGE_NAMES
from core.stats.estimate import Estimate, Verdict, verdict_of

EVERYWHERE = "all"
"""The language of answers over languages."""
Estimates = Mapping[tuple[str, str], Estimate]
"""By analysis and name."""


@dataclass(frozen=True)
class Answered:
    """The verdicts on one analysis's question in one language; null where a side has not asked it there."""

    analysis: str
    question: str
    language: str
    left: Verdict | None
    right: Verdict | None

    @property
    def differs(self) -> bool:
        """Whether both sides asked and came to different verdicts."""
        return None not in (self.left, self.right) and self.left != self.right


def answered(left: Estimates, right: Estimates) -> Iterator[Answered]:
    """One a question and language that some side answers: the strongest verdict of the estimates that answer it."""
    from core.analysis.registry import declared
    from core.data.known_concepts import THE_CONCEPT  # a study's sections, which who reads a study need not wait for

    sides = _verdicts(left), _verdicts(right)
    order = [*LANGUAGE_NAMES, EVERYWHERE]
    for analysis, language in sorted({*sides[0], *sides[1]}, key=lambda key: (key[0], order.index(key[1]))):
        known = declared().get(analysis)
        verdicts = [side.get((analysis, language)) for side in sides]
        yield Answered(analysis, known.question_of(THE_CONCEPT) if known else "", language, verdicts[0], verdicts[1])


def _verdicts(estimates: Estimates) -> dict[tuple[str, str], Verdict]:
    found: dict[tuple[str, str], list[Estimate]] = {}
    for (analysis, _), one in estimates.items():
        if one.answers:
            found.setdefault((analysis, one.language or EVERYWHERE), []).append(one)
    return {key: verdict_of(several) for key, several in found.items()}
