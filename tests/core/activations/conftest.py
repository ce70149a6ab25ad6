"""Two shards of a tiny model's activations, captured once for the files of this room."""

from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from core.activations.capture import capture_shard
from core.activations.requests import CaptureJob, images_between
from core.activations.table import LayerTable
from core.lm.loading import load_model
from core.study.model import CaptureConfig
from tests.core.lm.reference import INSTRUCTIONS, noise_images

SAMPLES = pl.DataFrame(
    {
        "sample_id": ["a", "b", "c", "d"],
        "image_id": ["i0", "i1", "i1", "i2"],
        "image": ["noise0.png", "noise1.png", "noise1.png", "noise2.png"],
        "caption_en": ["A woman sings in a park.", "A man", "A man is cooking", None],
        "caption_ar": ["طبيبة تغني في حديقة", "رجل", None, "امرأة"],
    }
)


class Captured(NamedTuple):
    """The shards' folders, in order, and the samples that they are of."""

    shards: list[Path]
    samples: pl.DataFrame

    def table(self, layer: int, keep: Path | None = None) -> LayerTable:
        return LayerTable.open(self.shards, layer, keep)


@pytest.fixture(scope="session")
def captured(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Captured:
    folder = tmp_path_factory.mktemp("captured")
    noise_images(folder, 3)
    loaded = load_model(tiny_gemma, "float32", "cpu")
    shards = []
    for number, (start, stop) in enumerate([(0, 2), (2, 3)]):
        samples = images_between(SAMPLES, start, stop)
        shards.append(folder / str(number))
        capture_shard(loaded, CaptureJob(samples, folder, CaptureConfig(), INSTRUCTIONS), shards[-1])
    return Captured(shards, SAMPLES)
