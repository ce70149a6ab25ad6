"""The reference of a study's fields, out of the model itself: `python -m infra.study_page > docs/study.md`."""

import json
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core.planning.study import Study

_HEAD = """# Writing a study

A study is one YAML file: everything that decides a result stands in it, and nothing else does. Start from one of
`deployments/studies/`, change what you need, and ask `saeflow plan my-study.yaml` what that means. A single field can
be changed for one run with `--set section.key=value`. Errors name the field, the value and the fix.

Relative paths start at the study file's folder, then at the working directory, then at `deployments/studies`.

## Where the old scripts' settings went

`saeflow convert-config configs/config.yaml --out my-study.yaml` writes the study; its first lines name what is left to
decide, keys that nobody knows, and what has no place here and why. Without `--out` it is printed.

| in the old scripts | here |
|---|---|
| `model.name` | `model.path` |
| `model.dtype` | `model.compute_dtype`; float16 becomes bfloat16 |
| `model.max_new_tokens` | `analyses.qualitative.max_new_tokens` |
| `layers.extraction`, a job a range of layers | `capture.layers`: `all`, `[0, 9]` or `"0-10,20-33"`; one pass for all |
| `layers.primary_analysis` | `layers` of `analyses.ablation`, `amplification` and `visual_patterns` |
| `data.num_samples` | `data.num_samples` |
| `data.captions_file`, or `samples.csv` in `paths.processed_data` | `data.path`; `data.columns` names its columns |
| `data.english_prompt`, `data.arabic_prompt` | `model.instruction_en`, `model.instruction_ar` |
| `data.batch_size`, batch size of the extraction | `capture.token_budget`, or `capture.batch_size` |
| checkpoint every 50 samples | `capture.checkpoint_every: 50` |
| `sae.expansion_factor` | `sae.expansion` |
| `sae.l1_coefficient` | `sae.l1_coefficient` with `architecture: relu`; its unit is explained below |
| `sae.k`, `sae.topk_k` | `sae.k` with `architecture: topk` |
| `sae.epochs`, `sae.batch_size`, `sae.learning_rate` | the same |
| `sae.patience` | `sae.early_stop` |
| `sae.warmup_steps`, `weight_decay`, `normalize_decoder`, `tied_weights` | fixed ([saes.md](saes.md)) |
| `steering.strengths`, `features_to_steer` | `analyses.amplification.doses`, `features` |
| `logging.use_wandb` | MLflow records every run |
| `logging.wandb_project`, experiment name | `tracking.experiment` |
| `slurm.*`, `model.device` | a cluster profile ([slurm.md](slurm.md)) |
| `paths.*` | the workspace (`--workspace`) |
| `seed` | `data.seed`, `sae.seed`, `seed` (the analyses' draws) |

Old SAEs (`sae_layer_10.pt`) and activations (`layer_checkpoints/*.pt`, `.npz`) are rewritten with `saeflow import-sae`
([saes.md](saes.md)) and `saeflow import-activations` ([activations.md](activations.md)).
"""

_TABLE = """
## Your own table

One row per caption (or per pair of captions, English and Arabic) with its picture. Rows are counted from 1, without
the header. A row that cannot be used is dropped with a reason in `dropped.parquet`; the others go on, and the step
fails only above `data.max_dropped_fraction`. `saeflow plan` reads the whole table, and prints its length, what cannot
be used, and captions in the wrong script, before anything runs. Captions are labelled by gender by rules:
[gender labels](labels.md) has them, and how often a reader labels otherwise.

| file | what is read |
|---|---|
| `.csv`, `.tsv` | UTF-8, names in the first line; separated by commas (.tsv: tabs), else by `;`, tabs or bars |
| `.jsonl` | one object per line |
| `.parquet` | of any size; columns of bytes that `data.columns` does not name are left out |

UTF-16, JSON arrays, Excel files, packed files and the like are refused with the way to save them.

Pictures are paths relative to the table's folder, or stand in Parquet itself: as bytes, or as the `datasets` library
stores them, a struct of `bytes` and `path` (without bytes, the path counts). Equal bytes are one image; its id is the
path, or where there is none (or another picture has it) the beginning of the content's SHA-256.

### What the model sees

Pictures are opened in one way for the model, the report and the maps: as a person sees them.

| picture | shown |
|---|---|
| EXIF (or XMP) orientation | upright; boxes are pixels of the upright picture |
| 16 bits per channel | 0 to 65,535 (12 bits: 4,095; signed: 32,767) |
| 32-bit integers | white is the smallest of 255, 65,535, 2³¹ − 1 and 2³² − 1 that holds all values |
| floats | white is the smallest of 1, 255 and 65,535 that holds all values |
| transparency | on white |
| animations, several pages | the first |
| CMYK, palettes, grey, YCbCr | as RGB; a colour profile is not applied, as models' own processors apply none |

Dropped, with a reason, is what cannot be shown as it is meant: NaN and infinity, values below 0 or above every white,
and values that would come out all but black (a 16-bit picture of 12-bit values, a float picture with a maximum of 3):
save those with 8 bits per channel. So are files that are no picture, or one that Pillow cannot read (HEIC, SVG, PDF …).

### What belongs together

A split holds whole groups, so that nothing is tested on what was trained on. Captions of one image, equal pictures,
rows whose captions are equal in all languages (case, marks and punctuation aside), and pairs stay together.

- `data.columns.pair` names a column of your own whose equal values pair rows; a column `pair_id` is taken by itself.
  Two rows of opposite gender are each other's counterpart: ablation takes the words that differ between their
  captions, and the other's picture. Groups of any other size or gender only share a split, and are counted.
- `twin_id` names the counterpart of a row by its sample id; `data.columns.sample_id` must then name the ids. It holds
  for both rows, and goes before `pair_id`.

Counterparts are best minimal pairs: where two captions differ before the gendered word, a lexicon of gendered words
is used in place of the other caption.

### Scripts

Captions with less than a fifth of their letters in their column's script (Latin for English, Arabic for Arabic) are
counted by `saeflow plan` and in the report, with rows to look at. They stay in: a brand's name in a sentence is no
fault.
"""


def reference() -> str:
    """The Markdown page."""
    lines = [_HEAD, _TABLE, *_section("The study", Study, "")]
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, model: type[BaseModel], prefix: str) -> Iterator[str]:
    yield f"\n## {title}\n\n{' '.join((model.__doc__ or '').split())}\n"
    yield from (_row("field", "type", "default", "meaning"), "|---|---|---|---|")
    inner: list[tuple[str, type[BaseModel], str]] = []
    for name, field in model.model_fields.items():
        models = _models_in(field.annotation)
        yield _row(f"`{name}`", _kind(field, models), _default(field, models), field.description or "")
        for found in models:
            tag = f" ({found.__name__})" if len(models) > 1 else ""
            inner.append((f"`{prefix}{name}`{tag}", found, f"{prefix}{name}."))
    for heading, found, below in inner:
        yield from _section(heading, found, below)


def _row(*cells: str) -> str:
    """A row of a table; a bar within a cell would end the cell."""
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _kind(field: FieldInfo, models: list[type[BaseModel]]) -> str:
    if models:
        return "section" + (" or null" if type(None) in get_args(field.annotation) else "")
    return _type_name(field.annotation)


def _type_name(annotation: Any) -> str:
    parts = get_args(annotation)
    if annotation is type(None):
        return "null"
    if annotation is Ellipsis:
        return "…"
    if get_origin(annotation) is None:
        return annotation.__name__ if isinstance(annotation, type) else str(annotation)
    origin = get_origin(annotation)
    if origin in (tuple, dict):
        return "list" if origin is tuple else "mapping"
    if origin is Union or str(origin) == "<class 'types.UnionType'>":
        return " | ".join(_type_name(part) for part in parts)
    if all(isinstance(part, str) for part in parts):
        return " | ".join(str(part) for part in parts)
    return _type_name(parts[0])


def _default(field: FieldInfo, models: list[type[BaseModel]]) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if models:
        return ""
    return f"`{json.dumps(field.default, ensure_ascii=False)}`"


if __name__ == "__main__":
    print(reference(), end="")  # a command's answer
