"""The sections on the model, on what is captured of it, on the feature index and on tracking."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from core.study.layers import Layers
from core.study.section import Positive, Section
from core.study.sites import STREAM, VISION, Site

Segment = Literal["image", "prompt", "caption"]
Pool = Literal["none", "last", "mean", "max"]


class ModelConfig(Section):
    """The model under study and how it is asked for a caption."""

    path: str | None = None
    """Folder of a transformers checkpoint (relative: the study file's folder, the working directory, then the
    project), a hub name that is already cached, or `package:NAME` for a GGUF that comes as a Python package."""
    factory: str | None = None
    """In place of `path`: the function, as `package.module:function`, that makes a model which transformers does not
    know (docs/activations.md); precision and instructions are then its own."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward pass; Gemma 3 overflows float16, and CPUs are fastest in float32."""
    instruction_en: str = "Describe the image in English."
    """Instruction before an English caption; empty for a base model that simply continues."""
    instruction_ar: str = "صف الصورة بالعربية."
    """Instruction before an Arabic caption."""

    @model_validator(mode="after")
    def _one_source(self) -> "ModelConfig":
        if (self.path is None) == (self.factory is None):
            raise ValueError("give either path (a checkpoint) or factory (a function that makes the model)")
        return self


class CaptureConfig(Section):
    """Which activations are kept, and in what portions the model is run."""

    site: Site = STREAM
    """What is read of a layer: the residual stream after it (resid_post), what its attention or MLP returns (attn_out,
    mlp_out) or adds to the stream (attn_out_normed, mlp_out_normed), or its heads' outputs side by side (attn_z); or,
    of images alone, the residual stream after each block of the vision tower (vision_post), or what the projector
    hands to the decoder (projector)."""
    layers: Layers = "all"
    """Layers that are kept: the decoder's, the vision tower's for vision_post, and 0 alone for projector."""
    precomputed: str | None = None
    """Folder of activations made elsewhere, taken instead of running the model: docs/activations.md says what is in it.
    A relative path starts at the study file's folder; null runs the model."""
    segments: tuple[Segment, ...] = ("image", "prompt", "caption")
    """Which tokens are kept; a model without images has no image rows, and images alone no others."""
    pool: Pool = "none"
    """One row per token, or one per segment of a caption: its last token, the mean or the maximum over its tokens
    (special ones left out; what captions share, such as the image, is pooled once)."""
    checkpoint_every: Positive = 50
    """Images a shard: the unit of capture, of retry, and the most that a killed run loses."""
    token_budget: Positive | None = None
    """Most tokens (padding included) in one forward pass; by default 4096 on a CPU, and on a GPU what its memory takes
    (halved where it does not). Not part of the fingerprint."""
    batch_size: Positive | None = None
    """Most images in one forward pass, beside the token budget; not part of the fingerprint."""
    max_caption_tokens: Positive = 128
    """Longer captions are handled as `long_captions` says."""
    long_captions: Literal["drop", "cut"] = "drop"
    """Drop a too long caption's sample, or cut its tokens; both are counted."""
    nonfinite: Literal["fail", "drop", "recompute"] = "fail"
    """What to do with rows that hold NaN or Inf: fail naming the layer and samples, drop the rows, or compute the
    sample again in float32."""
    max_norm_multiple: Annotated[float, Field(gt=1)] | None = 10.0
    """Rows of a norm beyond this multiple of their layer's median are left out of training and statistics, and counted;
    null keeps them (name and default of dictionary_learning's `max_activation_norm_multiple`)."""

    @field_validator("segments")
    @classmethod
    def _image_rows(cls, segments: tuple[Segment, ...], found: ValidationInfo) -> tuple[Segment, ...]:
        if not segments:
            raise ValueError("name at least one of image, prompt and caption")
        site = found.data.get("site")
        if site in VISION and "image" not in segments:
            raise ValueError(f"capture.site {site} gives image rows alone; add image")
        return segments


class IndexConfig(Section):
    """The feature index of a layer."""

    top_rows: Positive = 20
    """Strongest rows kept a feature."""
    neighbours: Positive = 10
    """Decoder neighbours kept a feature."""


class TrackingConfig(Section):
    """How runs appear in MLflow."""

    experiment: str = "saeflow"
    """MLflow experiment."""
