"""The report's numbers about the study itself: what went in, what was left out, what it took."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from core.data.drops import row_counts
from core.data.languages import LANGUAGE_NAMES
from core.report import text
from core.report.model import Making, ReportInputs
from core.sae.origins import Elsewhere
from core.sae.origins import origin_words as words_of
from core.store.ledger import hours_by_stage
from core.store.steps import stage_of


def facts(inputs: ReportInputs) -> list[tuple[str, str]]:
    """The study at a glance: value and what it counts."""
    summary, sae = inputs.summary, inputs.sae
    found: list[tuple[str, str | None]] = [
        *((name, _count(count)) for name, count in row_counts(summary, _left_out(inputs).height).items()),
        ("images" if summary.get("has_images", True) else "items", _count(inputs.samples["image_id"].n_unique())),
        ("languages", ", ".join(LANGUAGE_NAMES.get(code, code) for code in summary.get("languages", [])) or None),
        ("layers", _count(sae.height) if sae.height else None),
        ("median FVU on selection rows", _median(sae, "held_out_fvu")),
        ("active features per token", _median(sae, "held_out_l0")),
    ]
    return [(value, name) for name, value in found if value is not None]


def _left_out(inputs: ReportInputs) -> pl.DataFrame:
    """The first reason for each sample that was left out when the model was run: one caption's fault is all of it."""
    drops = inputs.capture_drops
    return drops.unique("sample_id", keep="first", maintain_order=True) if drops.height else drops


def _count(value: Any) -> str | None:
    return None if value is None else f"{int(value):,}"


def _median(table: pl.DataFrame, column: str) -> str | None:
    if column not in table.columns:
        return None
    value = table[column].cast(pl.Float64).median()
    return None if value is None else text.number(float(value), 3 if float(value) < 1 else 1)  # type: ignore[arg-type]


def drop_counts(inputs: ReportInputs) -> pl.DataFrame:
    """The rows that were left out, by where and why: `step`, `field`, `reason`, `count`."""
    schema = pl.Schema({"step": pl.String, "field": pl.String, "reason": pl.String, "count": pl.Int64})
    parts = [pl.DataFrame(schema=schema)]
    if inputs.dropped.height:
        rows = inputs.dropped.group_by("field", "reason").len("count").with_columns(step=pl.lit("reading the source"))
        parts.append(rows.select(*schema).cast(schema))
    if inputs.capture_drops.height:
        captions = _left_out(inputs).rename({"language": "field"}).group_by("field", "reason").len("count")
        parts.append(captions.with_columns(step=pl.lit("running the model")).select(*schema).cast(schema))
    return pl.concat(parts).sort("step", "count", "field", "reason", descending=[False, True, False, False])


def origin_words(inputs: ReportInputs) -> list[str]:
    """One sentence for all layers whose autoencoder was trained on another model, site or layer than it is used on."""
    found = (
        Elsewhere(
            row["layer"],
            f"{row['trained_on_hook']} of {row['trained_on_model']}",
            f"{row['used_on_hook']} of {row['used_on_model']}",
            row["differs"].split(", ") if row["differs"] else (),
        )
        for row in inputs.origins.iter_rows(named=True)
    )
    return [f"{words[0].upper()}{words[1:]}." for words in words_of(found)]


def making_by_step(making: Making) -> pl.DataFrame:
    """Time by step: units, wall, CPU and GPU time, the largest memory; the sum in the last row."""
    steps = list(dict.fromkeys(unit.step for unit in making.units))
    rows = [_step_row(step, making, {step}) for step in steps]
    return pl.DataFrame([*rows, _step_row("all", making, set(steps))])


def _step_row(name: str, making: Making, steps: set[str]) -> Mapping[str, Any]:
    units = [unit for unit in making.units if unit.step in steps]
    return {
        "step": name,
        "units": len(units),
        "time": text.seconds(sum(unit.wall_seconds for unit in units)),
        "CPU_time": text.seconds(sum(unit.cpu_seconds for unit in units)),
        "GPU_time": text.seconds(sum(unit.gpu_seconds for unit in units)),
        "peak_memory_MiB": round(max((unit.peak_rss_mib for unit in units), default=0)),
    }


def asked_and_used(making: Making) -> pl.DataFrame:
    """What the cluster's jobs of all runs of this study held, beside what the units in this report used, by stage."""
    rows = []
    for stage, (jobs, cpu, gpu) in hours_by_stage(making.jobs).items():
        units = [unit for unit in making.units if stage_of(unit.step) == stage]
        rows.append(
            {
                "stage": stage,
                "jobs": jobs,
                "CPU_hours_asked": cpu,
                "CPU_hours_used": sum(unit.cpu_seconds for unit in units) / 3600,
                "GPU_hours_asked": gpu,
                "GPU_hours_used": sum(unit.gpu_seconds for unit in units) / 3600,
            }
        )
    return pl.DataFrame(rows)


def making_units(making: Making) -> pl.DataFrame:
    """Every unit: its artefact, when, where and how long."""
    return pl.DataFrame(
        {
            "unit": [unit.label for unit in making.units],
            "artefact": [f"{unit.step}/{unit.fingerprint}" for unit in making.units],
            "finished": [_moment(unit.finished) for unit in making.units],
            "host": [unit.host for unit in making.units],
            "device": [unit.device for unit in making.units],
            "time": [text.seconds(unit.wall_seconds) for unit in making.units],
            "CPU_time": [text.seconds(unit.cpu_seconds) for unit in making.units],
            "GPU_time": [text.seconds(unit.gpu_seconds) for unit in making.units],
        }
    )


def _moment(stamp: float) -> str:
    return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if stamp else ""


def packages(making: Making) -> list[tuple[str, str]]:
    """Every package and the versions that the units ran with."""
    found: dict[str, set[str]] = {}
    for unit in making.units:
        for name, version in unit.packages.items():
            found.setdefault(name, set()).add(version)
    return [(name, ", ".join(sorted(versions))) for name, versions in sorted(found.items())]


def revisions(making: Making) -> list[tuple[str, int]]:
    """The revisions of the code that made the units, each with how many it made."""
    found: dict[str, int] = {}
    for unit in making.units:
        name = f"{unit.revision or 'unknown'}{' + uncommitted changes' if unit.dirty else ''}"
        found[name] = found.get(name, 0) + 1
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))
