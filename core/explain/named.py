"""What plans call explainers, scorers and SAEs by, without loading them: prompts in use, who embeds, what is frozen."""

from core.explain.prompts import prompt
from core.study.catalogue import Explainer, Scorer

FROZEN = "-frozen"
"""The end of the name of an SAE whose decoder is random and frozen."""


def explainer_prompts(explainer: Explainer) -> tuple[str, ...]:
    """The versions of the prompts that an explainer uses: they decide its result."""
    if explainer.kind not in ("chat", "transformers"):
        return ()
    return tuple(prompt(f"explain_{explainer.of}", language).version for language in explainer.languages)


def scores_by_embedding(scorer: Scorer) -> bool:
    """Whether a scorer compares embeddings; else it asks a model."""
    return scorer.kind == "embedding" or (scorer.kind == "twins" and scorer.profile is None and scorer.model is None)


def scorer_prompts(scorer: Scorer) -> tuple[str, ...]:
    """The versions of the prompts that a scorer uses: they decide its result."""
    return () if scores_by_embedding(scorer) else (prompt(f"judge_{scorer.kind}").version,)
