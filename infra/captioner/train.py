"""Train the captioner: `python -m infra.captioner.train --out deployments/models/scene-captioner`.

Three phases, one seed: the vision tower on attributes, then everything on captions, English and Arabic of the same
pictures in each batch, then the same on fresh pictures at lower rates; the ends of the courses are averaged.
"""

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import Gemma3ForConditionalGeneration, Gemma3Processor

from core.data.languages import LANGUAGES, Language
from core.data.scenes import realised_female_rates, training_scenes
from infra.captioner.card import write_card
from infra.captioner.corpus import Encoded, encode, instruction_texts, prompt_ids
from infra.captioner.model import build_model, build_processor
from infra.captioner.optimise import adamw, batches, cosine
from infra.captioner.tokenizer import build_tokenizer
from infra.captioner.vision import image_tokens, train_vision


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights."""

    seed: int = 11
    """Seeds corpus, initial weights and the order of batches."""
    scenes: int = 30000
    """Pictures in the corpus."""
    neutral_share: float = 0.3
    """Share of people without a visible gender: above a study's, so that their rates are learned."""
    vision_steps: int = 5000
    """Steps of 32 pictures of the first phase."""
    caption_steps: int = 750
    """Steps of the second phase."""
    pictures: int = 32
    """Pictures in a batch of the second phase; each comes with both captions."""
    rate: float = 2e-3
    """Highest learning rate of the second phase."""
    vision_rate: float = 5e-4
    """Highest learning rate of the vision tower and projector in the second phase."""
    polish_rounds: int = 2
    """Rounds of the third phase, each on pictures of its own."""
    polish_scenes: int = 12000
    """Fresh pictures of a round: what the first 30,000 taught by heart is corrected on these."""
    polish_steps: int = 375
    """Steps of a round: each fresh picture once."""
    polish_rate: float = 6e-4
    """Highest learning rate of a round."""
    polish_vision_rate: float = 3e-4
    """Highest learning rate of the vision tower and projector in a round."""
    threads: int = 2
    """Threads of PyTorch; another number changes the last bits of sums."""


class Phase(NamedTuple):
    """One course of caption training: its learning rates rise and fall once."""

    name: str
    steps: int
    pictures: int
    rate: float
    vision_rate: float


def train(recipe: Recipe, out: Path) -> None:
    """Train, save, and write the card."""
    torch.set_num_threads(recipe.threads)
    start = time.monotonic()
    scenes = training_scenes(recipe.scenes, recipe.seed, neutral_share=recipe.neutral_share)
    texts = [scene.caption(language).text for scene in scenes[:4000] for language in LANGUAGES]
    tokenizer = build_tokenizer([*texts, *instruction_texts() * 20])
    processor, corpus = build_processor(tokenizer), encode(scenes, tokenizer)
    model = build_model(tokenizer, recipe.seed)
    model.set_attn_implementation("eager")
    print(f"corpus and model ready after {time.monotonic() - start:.0f} s", flush=True)
    seen = train_vision(model, corpus, recipe.vision_steps, recipe.seed)
    rng = np.random.default_rng([recipe.seed, 2])
    main = Phase("captions", recipe.caption_steps, recipe.pictures, recipe.rate, recipe.vision_rate)
    _train_captions(model, processor, corpus, main, rng)
    ends = [_weights(model)]
    polish = Phase("polish", recipe.polish_steps, recipe.pictures, recipe.polish_rate, recipe.polish_vision_rate)
    for number in range(1, recipe.polish_rounds + 1):
        fresh = training_scenes(recipe.polish_scenes, recipe.seed + number, neutral_share=recipe.neutral_share)
        _train_captions(model, processor, encode(fresh, tokenizer), polish, rng)
        ends.append(_weights(model))
        scenes += fresh
    model.load_state_dict(_mean(ends))
    _save(model, processor, out)
    minutes = (time.monotonic() - start) / 60
    write_card(out, asdict(recipe), realised_female_rates(scenes), seen, minutes)


def _train_captions(
    model: Gemma3ForConditionalGeneration,
    processor: Gemma3Processor,
    corpus: Encoded,
    phase: Phase,
    rng: np.random.Generator,
) -> None:
    prompts = prompt_ids(processor)
    optimiser, schedule = _optimiser(model, phase)
    start, losses = time.monotonic(), []
    for step, rows in enumerate(batches(len(corpus.pictures), phase.pictures, phase.steps, rng)):
        tokens = image_tokens(model, corpus, rows)
        by_language = [_caption_loss(model, prompts[name], tokens, corpus, rows, name) for name in LANGUAGES]
        loss = torch.stack(by_language).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append([value.item() for value in by_language])
        if step % 50 == 49:
            english, arabic = np.mean(losses[-50:], axis=0)
            seconds = time.monotonic() - start
            print(f"{phase.name} {step + 1:5d}  en {english:.4f}  ar {arabic:.4f}  {seconds:.0f} s", flush=True)


def _optimiser(
    model: Gemma3ForConditionalGeneration, phase: Phase
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Tower and projector go on slowly from what they know; the text model starts from nothing."""
    named = list(model.named_parameters())
    seeing = [(name, weight) for name, weight in named if "vision_tower" in name or "projector" in name]
    known = {name for name, _ in seeing}
    optimiser = adamw([pair for pair in named if pair[0] not in known], phase.rate)
    for group in adamw(seeing, phase.vision_rate).param_groups:
        optimiser.add_param_group(group)
    return optimiser, cosine(optimiser, phase.steps, warmup=min(100, phase.steps // 8))


def _caption_loss(
    model: Gemma3ForConditionalGeneration,
    prompt: list[int],
    tokens: Float[Tensor, "N P D"],
    corpus: Encoded,
    rows: np.ndarray,
    language: Language,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the captions' tokens and the end of the turn, in one language."""
    index = LANGUAGES.index(language)
    lengths = torch.from_numpy(corpus.lengths[rows, index])
    captions = torch.from_numpy(corpus.captions[rows, index, : int(lengths.max())])
    ids = torch.cat([torch.tensor(prompt).expand(len(rows), -1), captions[:, :-1]], dim=1)
    hidden = model.model(
        input_ids=ids,
        token_type_ids=(ids == model.config.image_token_id).long(),
        mm_encoder_outputs={"image": SimpleNamespace(pooler_output=tokens)},
        use_cache=False,
    ).last_hidden_state[:, len(prompt) - 1 :]
    real = torch.arange(captions.shape[1]) < lengths[:, None]
    return functional.cross_entropy(model.lm_head(hidden[real]), captions[real])


def _weights(model: Gemma3ForConditionalGeneration) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def _mean(ends: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average the ends of the courses, which errs less than any of them (Izmailov et al. 2018, arXiv:1803.05407)."""
    return {name: torch.stack([end[name] for end in ends]).mean(dim=0) for name in ends[0]}


def _save(model: Gemma3ForConditionalGeneration, processor: Gemma3Processor, out: Path) -> None:
    model.save_pretrained(out)
    processor.save_pretrained(out)


def main() -> None:
    """Train with the recipe that the card states."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=Recipe.scenes, help="fewer, with --steps, for a trial run")
    parser.add_argument("--steps", type=int, default=None, help="steps of each phase")
    options = parser.parse_args()
    changes = (
        {}
        if options.steps is None
        else {"vision_steps": options.steps, "caption_steps": options.steps, "polish_steps": options.steps}
    )
    train(Recipe(scenes=options.scenes, **changes), options.out)


if __name__ == "__main__":
    main()
