"""`saeflow catalogue make --dry-run`: what chat models would be asked, counted before anything is sent."""

from collections.abc import Iterator, Sequence

import polars as pl

from cli.bar import bar
from cli.printed import give
from core.planning.catalogue_cost import Asking, catalogue_cost
from core.planning.catalogue_survey import CatalogueSurvey
from core.store.workspace import Workspace
from explorer.asking.answer import Answer

_ABOUT = "Prompt tokens are estimated from the text's length; answers take what they need, up to their limit."


def tell_cost(seen: CatalogueSurvey, workspace: Workspace, missing: int) -> None:
    """Print questions, tokens and money by explainer, scorer and profile; `missing` units are to be made.

    Raises:
        BadInput: a file of the study or of answers is damaged.
    """
    with bar("counting questions") as progress:
        found = catalogue_cost(seen, workspace, progress)
    features = sum(len(sae.features) for sae in seen.sources.saes)
    units = sum(1 for _ in seen.plan)
    lines = [f"{features:,} features of {len(seen.sources.saes)} SAEs; {missing} of {units} units are to be made."]
    lines += [_ABOUT, *_budgets(seen, found)] if found else ["No chat model is asked."]
    tables = {"questions": pl.DataFrame(list(map(_row, found)))} if found else {}
    give(Answer(f"{seen.config.title}: dry run", tuple(lines), tables), as_json=False, page=None)


def _row(one: Asking) -> dict[str, object]:
    cost = one.cost
    return {
        "asks": one.name,
        "profile": one.profile,
        "questions": cost.questions,
        "answered": cost.cached,
        "prompt_tokens": cost.prompt_tokens,
        "answer_tokens_at_most": cost.completion_tokens,
        "money_at_most": cost.money,
    }


def _budgets(seen: CatalogueSurvey, found: Sequence[Asking]) -> Iterator[str]:
    """Whether what is to be asked stays within each profile's budget."""
    for name in dict.fromkeys(one.profile for one in found):
        asked = [one.cost for one in found if one.profile == name]
        needed = {"tokens": sum(one.tokens for one in asked), "money": sum(one.money for one in asked)}
        for unit, limit in seen.config.profiles[name].budget.model_dump().items():
            if limit is not None:
                verdict = "is enough for" if needed[unit] <= limit else "may end before"
                yield f"Profile {name}: the budget of {limit:g} {unit} {verdict} at most {needed[unit]:.6g}."
