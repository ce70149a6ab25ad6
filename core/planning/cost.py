"""What a study will cost, before it runs: rows, bytes and GPU-hours, by arithmetic with stated assumptions."""

from dataclasses import dataclass

from core.data.emoji_source import read_emoji
from core.data.table_look import TableLook, look_at_table
from core.lm.shape import ModelShape, read_shape
from core.planning.graph import Plan
from core.planning.naming import layers_of
from core.planning.survey import Survey
from core.progress import silent
from core.store.workspace import Workspace
from core.study.data import EmojiSource, SceneSource
from core.study.model import CaptureConfig
from core.study.sites import VISION, extent

# A caption of one sentence and the turn around it; captions measured on the demo and on COCO-like tables: 12-30 tokens.
_CAPTION_TOKENS = 24
# Where each image has its own number of soft tokens: one of 640 x 480 pixels in Qwen2-VL has 391.
_VARYING_IMAGE_TOKENS = 400
_BYTES_PER_VALUE = 2  # bfloat16
_PRETRAINED_K = 64  # the default of sae.k: what is loaded is known only once it is read
# An H200 at the default batch of 256 and 20,480 features (docs/benchmarks.md); a batch of 4096 is eight times as fast.
_GPU_FLOPS = 2.9e13


@dataclass(frozen=True)
class Estimate:
    """Rows a layer, bytes of all layers' activations, bytes of what is still missing, GPU-hours of SAE training.

    `table` is what was found in the study's table where its samples are still to be prepared; `samples` is then the
    most that it can give.
    """

    samples: int
    rows: int
    activation_bytes: int
    missing_bytes: int
    sae_gpu_hours: float
    table: TableLook | None = None


def estimate(seen: Survey, workspace: Workspace) -> Estimate:
    """Count what the study will make; zero rows while the model is to be converted, or where a factory makes it."""
    samples, table = _samples(seen, workspace)
    if seen.sources.folder is None:
        return Estimate(samples, 0, 0, 0, 0.0, table)
    shape = read_shape(seen.sources.folder)
    made, width = seen.sources.precomputed, extent(shape, seen.study.capture.site).width
    rows, d_model = (made.rows, made.d_model) if made else (samples * _rows_each(shape, seen.study.capture), width)
    layers = len(layers_of(seen.study, seen.sources, shape))
    activations = rows * d_model * _BYTES_PER_VALUE * layers
    saes = list(seen.study.sae.variants().values())
    # What the SAEs of a layer hold together; the index is made of the one that is chosen, at most the densest.
    each = 2 if seen.study.sae.frozen else 1  # the SAE, and the frozen dictionary beside it
    size = each * sum(sae.expansion for sae in saes) * d_model**2
    weights = 4 * 2 * size * layers
    index = each * 2 * rows * max((sae.k for sae in saes), default=_PRETRAINED_K) * 8 * layers
    share = _missing_share(seen.plan, workspace)
    # Forward and backward of one dense GEMM and of the k sparse rows: 6 FLOPs a weight and row.
    flops = 6 * rows * size * seen.study.sae.epochs * layers
    missing = int((activations + 2 * weights + index) * share)
    return Estimate(samples, rows, activations, missing, flops / _GPU_FLOPS / 3600, table)


def _rows_each(shape: ModelShape, capture: CaptureConfig) -> int:
    """Rows a sample gives: its image's and two captions', or its image's alone."""
    pooled, tokens = capture.pool != "none", shape.image_tokens or _VARYING_IMAGE_TOKENS
    if capture.site in VISION:
        return 1 if pooled else (shape.patches if capture.site == "vision_post" else tokens)
    image = tokens if shape.has_images and "image" in capture.segments else 0
    return min(image, 1) + 2 if pooled else image + 2 * _CAPTION_TOKENS


def _samples(seen: Survey, workspace: Workspace) -> tuple[int, TableLook | None]:
    summary = workspace.samples_summary(seen.roots.prepare)
    if summary is not None:
        return int(summary["samples"]), None
    data = seen.study.data
    if isinstance(data, SceneSource):
        return data.num_samples, None
    if isinstance(data, EmojiSource):
        return read_emoji(data, silent).rows, None
    table = look_at_table(data, seen.sources.data_base)
    return table.most_samples, table


def _missing_share(plan: Plan | None, workspace: Workspace) -> float:
    if plan is None:
        return 1.0
    units = [*plan.stage("capture"), *plan.stage("train_sae"), *plan.stage("index_features")]
    present = workspace.present(plan)
    return sum(unit.artifact not in present for unit in units) / len(units)
