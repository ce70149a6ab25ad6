"""`saeflow feature … --intervene`: something of the inputs is varied, all else fixed, and the model runs again."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
from rich.progress import Progress

from cli.terminal import errors
from core.data.languages import Language
from core.errors import BadInput
from core.reading.study import OpenedStudy

DRAWS = 999


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
    language: Language


def run_varied(study: OpenedStudy, view: Any, feature: int, plan: Plan) -> Varied:
    """Run the study's model on the variations of its test images.

    Raises:
        BadInput: the study has no scenes to change, no such word, or its model is not there.
    """
    from core.causal.varied import measure_varied

    view.feature(feature)
    with tempfile.TemporaryDirectory(prefix="saeflow-varied-") as folder, _progress() as progress:
        asked = list(_variations(study, plan, Path(folder)))
        table = measure_varied(_model(study), view, feature, asked, progress)
    what = " and ".join(plan.attributes) or f"the word {plan.words[0]!r}"
    images = table["image_id"].n_unique()
    return Varied(table, f"Intervened: {what} varied in {images} test images, {plan.language}, everything else fixed.")


def _variations(study: OpenedStudy, plan: Plan, folder: Path) -> Iterator[Any]:
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


def _model(study: OpenedStudy) -> Any:
    from core.lm.loading import load_model

    asked = study.config["model"]
    folder = Path(asked["path"] or "")
    if not asked["path"] or not folder.is_dir():
        named = asked["path"] or asked["factory"]
        raise BadInput(f"study {study.title}: its model {named} is no folder of this machine, so that it cannot run")
    return load_model(folder, asked["compute_dtype"], "cpu")


@contextmanager
def _progress() -> Iterator[Any]:
    with Progress(console=errors, transient=True) as bar:
        task = bar.add_task("the model runs")
        yield lambda done, total, metrics=None: bar.update(task, completed=done, total=total)


def judged(varied: Varied, seed: int = 0) -> tuple[str, pl.DataFrame]:
    """What may be said of the values, and their effects."""
    from core.causal.varied import effects, moved

    found = moved(varied.table, DRAWS, seed)
    share = f"{100 * found.share:.3g} % of the variance within images"
    control = f"shuffled within images {100 * found.low:.2g} to {100 * found.high:.2g} %, p = {found.p:.2g}"
    if found.share != found.share:
        words = "The feature does not change with it: it is the same in every run of an image."
    elif found.p > 0.05:
        words = f"The values explain no more than shuffled ones do ({share}; {control})."
    else:
        words = f"The values explain {share} ({control})."
    return words, effects(varied.table, DRAWS, seed)


def varied_heat(varied: Varied) -> pl.DataFrame:
    """The mean over images of each pair of values: x, y, images, mean."""
    from core.causal.variations import BETWEEN

    parts = pl.col("value").str.split(BETWEEN)
    cells = varied.table.select(parts.list.get(0).alias("x"), parts.list.get(1).alias("y"), "activation")
    return (
        cells.group_by("x", "y").agg(pl.len().alias("images"), pl.col("activation").mean().alias("mean")).sort("x", "y")
    )
