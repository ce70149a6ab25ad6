"""Something of the inputs is varied, all else fixed, and the study's model runs again."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from core.errors import BadInput
from core.progress import Progress, silent
from core.reading.study import OpenedStudy
from core.stats.families import ALPHA, corrected
from core.study.sites import STREAM
from explorer.asking.looked import Looked
from explorer.reading.study_model import opened_model

if TYPE_CHECKING:
    from core.causal.variations import Variation
    from core.causal.varied import Moved
    from core.data.languages import Language

DRAWS = 999
EFFECT = "Mean activation over an image's rows, less the image's own mean over all values."


@dataclass(frozen=True)
class Varied:
    """What was run: the columns of `core.causal.varied.VARIED`, and in words what was varied, and in what."""

    table: pl.DataFrame
    words: str


@dataclass(frozen=True)
class Plan:
    """What is varied, in how many images and in which captions: attributes of scenes, or the first of `words`, in whose
    place the others are put."""

    attributes: tuple[str, ...]
    words: tuple[str, ...]
    images: int
    language: "Language"


def run_varied(looked: Looked, feature: int, plan: Plan, progress: Progress = silent) -> Varied:
    """Run the study's model on the variations of its test images.

    Raises:
        BadInput: the study has no scenes to change, no such word, or its model is not there.
    """
    from core.causal.varied import measure_varied

    looked.view.feature(feature)
    check_site(looked.study)
    with tempfile.TemporaryDirectory(prefix="saeflow-varied-") as folder:
        asked = list(_variations(looked.study, plan, Path(folder)))
        with opened_model(looked.study, looked.view.layer) as loaded:
            table = measure_varied(loaded, looked.view, feature, asked, progress)
    what = " and ".join(plan.attributes) or f"the word {plan.words[0]!r}"
    images = table["image_id"].n_unique()
    return Varied(table, f"Intervened: {what} varied in {images} test images, {plan.language}, everything else fixed.")


def _variations(study: OpenedStudy, plan: Plan, folder: Path) -> "Iterator[Variation]":
    from core.causal.variations import scene_variations, word_variations

    instruction = str(study.config["model"].get(f"instruction_{plan.language}", ""))
    chosen = _test_images(study)
    if plan.words:
        every = word_variations(chosen, plan.language, plan.words, instruction, study.picture)
        yield from islice(every, plan.images * len(plan.words))
        return
    data = study.config["data"]
    if data["source"] != "scenes":
        raise BadInput(
            f"study {study.title}: its samples are no scenes, whose attributes could be changed; vary a word instead: "
            "--word woman --with man"
        )
    from core.data.scenes import study_scenes

    scenes = study_scenes(data["num_samples"], data["seed"], twins=data.get("twins", True))
    own = {name: scenes[name] for name in chosen["sample_id"].head(plan.images)}
    yield from scene_variations(own, plan.attributes, instruction, plan.language, folder)


def _test_images(study: OpenedStudy) -> pl.DataFrame:
    """The test images, one of each pair of twins."""
    from core.data.twins import unit_of_image

    units = unit_of_image(study.samples)
    test = study.samples.filter(split="test")
    first = test.with_columns(pl.col("image_id").replace_strict(units).alias("unit")).unique(
        "unit", keep="first", maintain_order=True
    )
    return first.drop("unit")


def check_site(study: OpenedStudy) -> None:
    """Make sure that the study's rows are of the residual stream, where inputs can be followed to.

    Raises:
        BadInput: they are of another site.
    """
    site = study.config["capture"]["site"]
    if site != STREAM:
        raise BadInput(f"study {study.title}: its rows are of {site}; the model is run again for the {STREAM} alone")


@dataclass(frozen=True)
class Judged:
    """Whether the values of something that was varied change the feature, corrected over all that was varied."""

    varied: Varied
    moved: "Moved"
    q: float
    effects: pl.DataFrame

    @property
    def changes(self) -> bool:
        """Whether they do."""
        return self.q <= ALPHA

    @property
    def words(self) -> str:
        """What may be said."""
        found, q = self.moved, f"q = {self.q:.2g}"
        if math.isnan(found.share):
            return "the feature does not change with it: it is the same in every run of an image"
        share = f"{100 * found.share:.3g} % of the variance within images"
        control = f"shuffled within images {100 * found.low:.2g} to {100 * found.high:.2g} %, {q}"
        if not self.changes:
            return f"its values explain no more than shuffled ones do ({share}; {control})"
        apart = float(self.effects["mean"][0] - self.effects["mean"][-1])
        return f"its values explain {share} ({control}), and their means lie up to {apart:.3g} apart"


def judge(runs: Mapping[str, Varied], seed: int = 0) -> dict[str, Judged]:
    """What may be said of everything that was varied, by its name; p is corrected over them (Benjamini-Hochberg)."""
    from core.causal.varied import effects, moved

    found = {name: moved(one.table, DRAWS, seed) for name, one in runs.items()}
    family = corrected(pl.DataFrame({"name": list(found), "p": [one.p for one in found.values()]}))
    q = dict(family.select("name", "q").iter_rows())
    return {name: Judged(one, found[name], q[name], effects(one.table, DRAWS, seed)) for name, one in runs.items()}


def varied_heat(varied: Varied) -> pl.DataFrame:
    """The mean over images of each pair of values: x, y, images, mean."""
    from core.causal.variations import BETWEEN

    parts = pl.col("value").str.split(BETWEEN)
    cells = varied.table.select(parts.list.get(0).alias("x"), parts.list.get(1).alias("y"), "activation")
    return (
        cells.group_by("x", "y").agg(pl.len().alias("images"), pl.col("activation").mean().alias("mean")).sort("x", "y")
    )
