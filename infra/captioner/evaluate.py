"""What the captioner can do, measured on scenes it never saw: the figures of its card.

- `visible_gender`: among people who show a gender, the share of greedy captions whose every gendered word has it.
- `whole_caption`: the share of greedy captions that equal the scene's caption; where the person shows no gender, the
  caption of either gender is right, for the picture does not say which was drawn.
- `rate_spearman`: over professions, P(female) on neutral people against the share of female captions among the neutral
  people of the training corpus. P(female) compares the two genders' tokens at the first place where the captions part.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForImageTextToText, AutoProcessor

from core.data.languages import LANGUAGES, Language
from core.data.scene_drawing import flipped
from core.data.scene_lexicon import Gender
from core.data.scenes import Scene, SceneWorld, gendered_pairs, paint, unseen_scenes
from infra.captioner.corpus import conversation

BATCH = 400
_NEW_TOKENS = 32


@dataclass(frozen=True)
class EvaluationRecipe:
    """Which scenes the figures stand on."""

    seed: int = 2977
    """Seeds both draws below; scenes come from the studies' stream, which training never touches."""
    captioned: int = 1200
    """Scenes that are captioned greedily; a fifth shows no gender."""
    neutral: int = 480
    """Further scenes of neutral people, for the rates."""


@dataclass(frozen=True)
class Captioner:
    """The model and its processor, loaded as gemma-3-4b-it would be."""

    model: Any
    processor: Any

    @classmethod
    def load(cls, folder: Path) -> "Captioner":
        """Load from a folder, without any network."""
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        return cls(model.eval(), processor)

    def prompts(self, scenes: list[Scene], language: Language) -> Any:
        """Return the model's inputs up to the caption."""
        world = SceneWorld()
        talks = [conversation(language, paint(scene, world)) for scene in scenes]
        return self.processor.apply_chat_template(
            talks, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
        )

    def token_ids(self, text: str) -> list[int]:
        """Return a caption's tokens as they stand after the prompt."""
        ids: list[int] = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def evaluate(captioner: Captioner, recipe: EvaluationRecipe, trained_rates: dict[str, float]) -> dict[str, Any]:
    """Return the card's figures, by language."""
    scenes = unseen_scenes(recipe.captioned, recipe.seed)
    neutral = unseen_scenes(recipe.neutral, recipe.seed + 1, neutral_share=1.0)
    figures: dict[str, Any] = {}
    for language in LANGUAGES:
        captions = greedy_captions(captioner, scenes, language)
        rates = female_rates(captioner, neutral, language)
        figures[language] = caption_figures(scenes, captions, language) | rate_figures(rates, trained_rates)
    return figures


@torch.inference_mode()
def greedy_captions(captioner: Captioner, scenes: list[Scene], language: Language) -> list[str]:
    """Caption every scene greedily."""
    captions: list[str] = []
    for start in range(0, len(scenes), BATCH):
        inputs = captioner.prompts(scenes[start : start + BATCH], language)
        made = captioner.model.generate(**inputs, max_new_tokens=_NEW_TOKENS, do_sample=False)
        new = made[:, inputs["input_ids"].shape[1] :]
        captions += captioner.processor.batch_decode(new, skip_special_tokens=True)
    return captions


def caption_figures(scenes: list[Scene], captions: list[str], language: Language) -> dict[str, float]:
    """Return `visible_gender` and `whole_caption`."""
    shown = [
        stated_gender(text, language) == scene.gender
        for scene, text in zip(scenes, captions, strict=True)
        if scene.visible != "neutral"
    ]
    whole = [text in right_captions(scene, language) for scene, text in zip(scenes, captions, strict=True)]
    return {"visible_gender": round(float(np.mean(shown)), 4), "whole_caption": round(float(np.mean(whole)), 4)}


def right_captions(scene: Scene, language: Language) -> set[str]:
    """Return what may be said of a picture: both genders' captions if the person shows none."""
    drawn = scene.caption(language).text
    return {drawn, flipped(scene).caption(language).text} if scene.visible == "neutral" else {drawn}


def stated_gender(text: str, language: Language) -> Gender | None:
    """Return the gender of every gendered word of a caption; None where there is none, or where two disagree."""
    forms: dict[str, Gender] = {}
    for pair in gendered_pairs()[language]:
        forms |= {pair["female"].split(" ")[0]: "female", pair["male"].split(" ")[0]: "male"}
    found = {forms[word] for word in re.findall(r"\w+", text.lower()) if word in forms}
    return found.pop() if len(found) == 1 else None


def female_rates(captioner: Captioner, scenes: list[Scene], language: Language) -> dict[str, float]:
    """Return P(female) by profession, averaged over the scenes."""
    chances = [
        chance
        for start in range(0, len(scenes), BATCH)
        for chance in female_probabilities(captioner, scenes[start : start + BATCH], language)
    ]
    names = [scene.content.profession.name for scene in scenes]
    return {
        name: round(float(np.mean([chance for chance, own in zip(chances, names, strict=True) if own == name])), 4)
        for name in sorted(set(names))
    }


@torch.inference_mode()
def female_probabilities(captioner: Captioner, scenes: list[Scene], language: Language) -> list[float]:
    """Return P(female) / (P(female) + P(male)) where each scene's two captions part."""
    inputs = dict(captioner.prompts(scenes, language))
    forks = [_fork(captioner, scene, language) for scene in scenes]
    longest = max(len(shared) for shared, _ in forks)
    pad = captioner.processor.tokenizer.pad_token_id
    tail = torch.tensor([shared + [pad] * (longest - len(shared)) for shared, _ in forks], dtype=torch.long)
    width = inputs["input_ids"].shape[1]
    ids = torch.cat([inputs["input_ids"], tail], dim=1)
    kinds = torch.nn.functional.pad(inputs["token_type_ids"], (0, longest))
    logits = captioner.model(
        input_ids=ids,
        pixel_values=inputs["pixel_values"],
        token_type_ids=kinds,
        attention_mask=torch.ones_like(ids),
    ).logits
    rows = torch.arange(len(scenes))
    at_fork = logits[rows, torch.tensor([width - 1 + len(shared) for shared, _ in forks])]
    pair = torch.tensor([tokens for _, tokens in forks])
    chances: list[float] = at_fork.gather(1, pair).softmax(-1)[:, 0].tolist()
    return chances


def _fork(captioner: Captioner, scene: Scene, language: Language) -> tuple[list[int], tuple[int, int]]:
    """Return the tokens that both genders' captions share, and the two tokens (female, male) that follow."""
    one, other = (captioner.token_ids(version.caption(language).text) for version in (scene, flipped(scene)))
    female, male = (one, other) if scene.gender == "female" else (other, one)
    length = next(index for index, (a, b) in enumerate(zip(female, male, strict=False)) if a != b)
    return female[:length], (female[length], male[length])


def rate_figures(rates: dict[str, float], trained: dict[str, float]) -> dict[str, Any]:
    """Compare P(female) with the training corpus: rank correlation and mean absolute difference over professions."""
    names = sorted(rates)
    said, seen = [rates[name] for name in names], [trained[name] for name in names]
    return {
        "rate_spearman": round(float(spearmanr(said, seen).statistic), 4),
        "rate_mean_error": round(float(np.mean(np.abs(np.subtract(said, seen)))), 4),
        "female_rates": rates,
    }
