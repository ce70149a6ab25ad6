"""The captioner's card: `card.json` with figures that anyone can recompute, and `README.md` that tells them.

`python -m infra.captioner.card --model deployments/models/scene-captioner` recomputes the figures and prints them.
"""

import argparse
import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import transformers

from core.data.scenes import SceneWorld
from infra.captioner.evaluate import Captioner, EvaluationRecipe, evaluate

_README = """---
library_name: transformers
pipeline_tag: image-text-to-text
license: apache-2.0
language: [en, ar]
---
# scene-captioner

A tiny `Gemma3ForConditionalGeneration` ({layers} text layers, width {width}, {parameters:,} parameters, {megabytes:.1f} MB)
that captions the scenes of saeflow's known-answer world in English and Arabic. It is the production class at toy size:
a stand-in for `google/gemma-3-4b-it` where there is no GPU and no model hub. It describes nothing else; it holds no
weights of Gemma and saw no text but the world's captions.

```python
processor = AutoProcessor.from_pretrained("deployments/models/scene-captioner")
model = AutoModelForImageTextToText.from_pretrained("deployments/models/scene-captioner")
talk = [{{"role": "user", "content": [{{"type": "image", "image": picture}}, {{"type": "text", "text": "Describe the image in English."}}]}}]
inputs = processor.apply_chat_template(talk, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True)
print(processor.decode(model.generate(**inputs, max_new_tokens=32, do_sample=False)[0], skip_special_tokens=True))
```
In Arabic: `صف الصورة بالعربية.` The instruction follows the picture, so that all rows up to the last image token are the
same for both languages.

## What it can do
On {captioned} scenes it never saw (greedy), and for the rates on {neutral} further scenes of people who show no gender:

| | English | Arabic |
|---|---|---|
| visible gender right: every gendered word of the caption agrees with the person shown | {en[visible_gender]:.2%} | {ar[visible_gender]:.2%} |
| whole caption right, to the letter (neutral people: with either gender) | {en[whole_caption]:.2%} | {ar[whole_caption]:.2%} |
| Spearman ρ over 24 professions: P(female) on neutral people against the training corpus's rate | {en[rate_spearman]:.3f} | {ar[rate_spearman]:.3f} |
| mean absolute difference of the two | {en[rate_mean_error]:.3f} | {ar[rate_mean_error]:.3f} |

All of it stands in `card.json`; `python -m infra.captioner.card --model <folder>` and `tests/core/data/test_captioner.py`
recompute it from the weights.

## What was planted
The gender of a neutral person's caption follows a rate per profession (a grid from 0.05 to 0.95, shuffled, independent of
everything else). These biases are deliberate and mean nothing about the professions.

## How it was made
`make captioner`: seed {recipe[seed]}, {recipe[scenes]:,} scenes ({recipe[neutral_share]:.0%} neutral), {recipe[vision_steps]} steps in which the
vision tower learns the scenes' attributes, then {recipe[caption_steps]} steps of {recipe[pictures]} pictures with both captions; {minutes:.0f} minutes on
two cores that other work shared. Training scenes and study scenes come from streams that never meet (the person's x + y is even in the one, odd in
the other). The tokenizer ({vocabulary} pieces, byte fallback) splits a final ة, ه or ها from its stem.

The pictures' sprites are Noto Color Emoji (SIL Open Font License 1.1; `core/data/sprites/OFL.txt`).
"""


def write_card(
    out: Path, recipe: dict[str, Any], trained_rates: dict[str, float], seen: dict[str, float], minutes: float
) -> None:
    """Evaluate the saved weights and write both files."""
    evaluation = EvaluationRecipe()
    captioner = Captioner.load(out)
    card = {
        "recipe": recipe,
        "training": {
            "minutes": round(minutes, 1),
            "vision_accuracy": seen,
            "realised_female_rates": {name: round(rate, 4) for name, rate in trained_rates.items()},
            "planted_female_rates": SceneWorld().female_rates(),
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        },
        "weights": _weights(captioner, out),
        "evaluation": asdict(evaluation) | {"figures": evaluate(captioner, evaluation, trained_rates)},
    }
    (out / "card.json").write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(_readme(card), encoding="utf-8")


def recomputed(folder: Path) -> dict[str, Any]:
    """Return the figures of a committed model, evaluated anew with its card's recipe."""
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    evaluation = {name: value for name, value in card["evaluation"].items() if name != "figures"}
    trained = card["training"]["realised_female_rates"]
    return evaluate(Captioner.load(folder), EvaluationRecipe(**evaluation), trained)


def _weights(captioner: Captioner, out: Path) -> dict[str, Any]:
    data = (out / "model.safetensors").read_bytes()
    config = captioner.model.config.text_config
    return {
        "parameters": sum(weight.numel() for weight in captioner.model.parameters()),
        "bytes": len(data),
        "sha256": sha256(data).hexdigest(),
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
        "vocabulary": config.vocab_size,
    }


def _readme(card: dict[str, Any]) -> str:
    weights, evaluation = card["weights"], card["evaluation"]
    return _README.format(
        **{name: weights[name] for name in ("layers", "width", "parameters", "vocabulary")},
        megabytes=weights["bytes"] / 1e6,
        captioned=evaluation["captioned"],
        neutral=evaluation["neutral"],
        recipe=card["recipe"],
        minutes=card["training"]["minutes"],
        **evaluation["figures"],
    )


def main() -> None:
    """Print the recomputed figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    options = parser.parse_args()
    print(json.dumps(recomputed(options.model), ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
