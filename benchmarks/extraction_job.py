"""The samples and the checkpoint that every way captures, in one folder: a part of benchmarks/extraction.py."""

import json
from pathlib import Path
from typing import Any

import polars as pl
from extraction_counts import save_shape
from extraction_peers import Job, shard

from core.activations.requests import encode_shard
from core.data.scenes import generate_scenes
from core.lm.gguf import convert_package
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.packages import PACKAGE_PREFIX
from core.lm.prefix import CaptionGroup
from core.lm.shape import read_shape

CAPTIONER = Path(__file__).parents[1] / "deployments" / "models" / "scene-captioner"
IMAGE = {"en": "Describe the image in English.", "ar": "صف الصورة بالعربية."}
# One prompt for both, as a model without images shares nothing else.
TEXT = dict.fromkeys(IMAGE, "Describe a scene in one sentence.")


def write_job(model: str, samples: int, place: Path) -> None:
    """Write samples, captions and the checkpoint's place as every way reads them."""
    folder = _checkpoint(model, place)
    has_images = read_shape(folder).has_images
    table = generate_scenes(place, num_samples=samples, seed=11)
    table = table if has_images else table.with_columns(image=pl.lit(None, pl.String))
    table.write_parquet(place / "samples.parquet")
    made: dict[str, Any] = {"model": str(folder), "instructions": IMAGE if has_images else TEXT, "texts": []}
    (place / "job.json").write_text(json.dumps(made), encoding="utf-8")
    write_texts(load_model(folder, "float32", "cpu"), place)


def write_texts(loaded: LoadedModel, place: Path) -> None:
    """Add to the job every text as transformers' processor takes it."""
    made = json.loads((place / "job.json").read_text(encoding="utf-8"))
    encoded = encode_shard(loaded, shard(Job.read(place, 1, "cpu", "float32")))
    assert not encoded.drops, f"every way must run the same samples; saeflow leaves out {encoded.drops}"
    made["texts"] = [_text(loaded, group, index, place) for group in encoded.groups for index in range(2)]
    (place / "job.json").write_text(json.dumps(made), encoding="utf-8")


def _checkpoint(model: str, place: Path) -> Path:
    if model == "shape":
        return save_shape(place / "model", CAPTIONER)
    if model.startswith(PACKAGE_PREFIX):
        return convert_package(model.removeprefix(PACKAGE_PREFIX), place / "model")
    return CAPTIONER if model == "captioner" else Path(model).resolve()


def _text(loaded: LoadedModel, group: CaptionGroup, index: int, place: Path) -> dict[str, Any]:
    """Prompt and caption as transformers' processor takes them: with one marker where the image goes."""
    sample, text = group.samples[index], group.samples[index].text
    if loaded.processor is not None:
        text = text.replace(loaded.processor.full_image_sequence, loaded.processor.boi_token)
    image = None if sample.image is None else str(sample.image.relative_to(place))
    return {"text": text, "image": image, "of": [sample.sample_id, sample.language], "tokens": len(sample.ids)}
