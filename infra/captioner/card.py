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

_TEMPLATE = Path(__file__).with_name("card_template.txt")


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


def recomputed(folder: Path, captioned: int | None = None) -> dict[str, Any]:
    """Return the figures of a committed model, evaluated again with its card's recipe; `captioned` of its scenes are
    captioned where it is given."""
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    evaluation = {name: value for name, value in card["evaluation"].items() if name != "figures"}
    evaluation |= {"captioned": captioned} if captioned else {}
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
    return _TEMPLATE.read_text(encoding="utf-8").format(
        **{name: weights[name] for name in ("layers", "width", "parameters", "vocabulary")},
        megabytes=weights["bytes"] / 1e6,
        captioned=evaluation["captioned"],
        neutral=evaluation["neutral"],
        recipe=card["recipe"],
        ends=card["recipe"]["polish_rounds"] + 1,
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
