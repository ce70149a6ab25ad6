"""A finished study as its steps leave it on disk, small and made up, with everything a report has to draw."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

from core.analysis.result import Result
from core.figures import Figure, write_figure
from core.figures.theme import BAND, HEIGHT, WIDTH, language_colour, layer_x, rule
from core.stats.estimate import Control, Estimate, Source
from core.store.artifacts import Artifact, ArtifactStore

EN = "In the kitchen a woman is cooking her dinner with a red pan."
AR = "في المطبخ امرأة تطبخ عشاءها بمقلاة حمراء"
HOST = "node-417.example"
HOSTILE = '<script>alert("x")</script> & <b>bold</b>'
STUDY = {
    "name": "sample-study",
    "description": "Which features of a captioner carry gender in English and Arabic captions of the same scenes?",
    "data": {"source": "scenes", "num_samples": 240, "seed": 0},
    "model": {"compute_dtype": "float32", "instruction_en": "Describe.", "instruction_ar": HOSTILE},
    "capture": {"layers": "all", "segments": ["image", "prompt", "caption"], "max_norm_multiple": 10.0},
    "sae": {"expansion": 8, "k": 16, "epochs": 10, "learning_rate": None},
}


class SampleStudy:
    """Artefacts below one root; `layers` decides how many SAEs there are."""

    def __init__(self, root: Path, layers: int = 3, clock: float = 1_760_000_000.0) -> None:
        self.store = ArtifactStore(root)
        self.layers = layers
        self.clock = clock
        self.rng = np.random.default_rng(7)
        samples = self._samples()
        shard = self._publish("capture", "000", {"model": {"weights": "ab" * 16}}, {"samples": [samples]}, self._shard)
        extract = [
            self._publish("extract_layer", str(n), {"layer": n}, {"shards": [shard]}, self._layer(n))
            for n in range(layers)
        ]
        sae = [
            self._publish("train_sae", str(n), {"layer": n}, {"layer": [extract[n]]}, self._sae(n))
            for n in range(layers)
        ]
        analyses = [self._analysis(name, {"sae": sae}) for name in ("overview", *_ANALYSES)]
        self.inputs = {"samples": [samples], "layer": extract, "sae": sae, "analyses": analyses}
        self.skipped = {"ablation": "not in the study", "evolution": "one layer only"}

    def _publish(
        self, step: str, name: str, recipe: Mapping[str, Any], inputs: Mapping[str, Any], fill: Any
    ) -> Artifact:
        artifact = Artifact(step, f"{step}-{name}-".ljust(20, "0")[:20])
        staged = self.store.staging(artifact)
        fill(staged)
        refs = {role: [unit.ref for unit in units] for role, units in inputs.items()}
        self.clock += 60
        made = {
            "wall_seconds": 12.5 + self.clock % 7, "cpu_seconds": 20.25, "gpu_seconds": 0.0, "peak_rss_mib": 812.4,
            "host": HOST, "device": "cpu", "started": self.clock, "finished": self.clock + 12.5,
            "git": {"revision": "a1b2c3d4e5f6", "dirty": True}, "packages": {"python": "3.11.2", "torch": "2.13.0"},
        }  # fmt: skip
        unit = {"step": step, "name": name, "recipe": dict(recipe), "inputs": refs, "knobs": {}}
        self.store.publish(staged, artifact, {"unit": unit, "label": f"{step}[{name}]", "provenance": made})
        return artifact

    def _samples(self) -> Artifact:
        def fill(folder: Path) -> None:
            (folder / "images").mkdir()
            for number in range(4):
                draw_scene(folder / "images" / f"{number}.png", number)
            genders = ["female", "male", "neutral", "both"]
            table = pl.DataFrame(
                {
                    "sample_id": [f"s{n:04d}" for n in range(240)],
                    "image_id": [f"i{n:04d}" for n in range(240)],
                    "image": [f"images/{n % 4}.png" for n in range(240)],
                    "split": [["train", "train", "select", "test"][n % 4] for n in range(240)],
                    "gender_en": [genders[(n * 7 // 3) % (2 + n % 3)] for n in range(240)],
                    "gender_ar": [genders[(n * 7 // 3) % 2] for n in range(240)],
                }
            )
            table.write_parquet(folder / "samples.parquet")
            dropped = {
                "row": [17, 99, 120],
                "sample_id": [None, "x99", "x120"],
                "field": ["caption_ar", "image", "image"],
            }
            reasons = {"reason": [f"empty caption {HOSTILE}", "picture is missing", "picture is missing"]}
            pl.DataFrame({**dropped, **reasons}, schema_overrides={"row": pl.UInt32}).write_parquet(
                folder / "dropped.parquet"
            )
            summary = {"samples": 240, "images": 240, "dropped": 3, "has_images": True, "languages": ["en", "ar"]}
            write_json(folder / "summary.json", summary)

        return self._publish("prepare", "", {"content": "0f" * 16}, {}, fill)

    def _shard(self, folder: Path) -> None:
        drops = [{"sample_id": "s0007", "language": "ar", "reason": "131 tokens, at most 128"}]
        write_json(folder / "shard.json", {"images": 240, "drops": drops})

    def _layer(self, layer: int) -> Any:
        norms = {"image": 40.0 + 9 * layer, "prompt": 21.0 + 2 * layer, "caption": 12.0 * 1.06**layer}
        some = {"rows": 3, "share_of_rows": 3 / 2767, "share_of_squared_norm": 0.915, "by_kind": {"caption_ar": 3}}
        none = {"rows": 0, "share_of_rows": 0.0, "share_of_squared_norm": 0.0, "by_kind": {}}
        outliers = some if layer == 2 else none
        health = {
            "rows": 48_211,
            "nonfinite_rows": 0,
            "scale": 1.4,
            "top_share": 0.01 + 0.002 * layer,
            "gamma": None if layer == 1 else 0.4 + 0.1 * layer,
            "mean_norm": norms,
            "outliers": outliers,
            "warnings": ["layer 2: the largest 0.1% of its rows hold 31.0% of the squared norm"] if layer == 2 else [],
        }
        return lambda folder: write_json(folder / "health.json", health)

    def _sae(self, layer: int) -> Any:
        steps = np.arange(1, 201)
        decay = 0.08 + 0.004 * layer + 0.9 * np.exp(-steps / (25 + layer))
        noise = 1 + 0.05 * self.rng.standard_normal(200)
        fvu = 0.1 + 0.004 * layer
        figures = {
            "train_fvu": fvu * 0.82, "held_out_fvu": fvu, "train_cosine": 0.97 - 0.002 * layer, "train_l0": 15.2,
            "held_out_cosine": 0.955 - 0.002 * layer, "held_out_l0": 15.0, "dead_fraction": 0.02 + 0.001 * layer,
            "dense_fraction": 0.011, "rows_per_latent": 88.0, "median_firings_per_live_latent": 900.0 - 15 * layer,
        }  # fmt: skip
        if layer == 2:
            figures["held_out_fvu_with_outliers"] = 0.061
        history = pl.DataFrame(
            {
                "step": steps.astype(np.uint32),
                "epoch": steps / 20,
                "loss": decay * noise,
                "held_out_fvu": [float(value) if number % 20 == 19 else None for number, value in enumerate(decay)],
            }
        )

        def fill(folder: Path) -> None:
            write_json(folder / "metrics.json", figures)
            history.write_parquet(folder / "history.parquet")
            rates = self.rng.normal(-2.0, 0.6, 512).clip(-10, 0).astype(np.float32)
            rates[:10] = -10  # dead
            save_file({"sparsity": rates}, folder / "sparsity.safetensors")
            active = pl.DataFrame({"split": "held_out", "active": [14, 16, 20], "rows": [200, 500, 300]})
            active.write_parquet(folder / "l0.parquet")

        return fill

    def _analysis(self, name: str, inputs: Mapping[str, Any]) -> Artifact:
        result = self._overview() if name == "overview" else _ANALYSES[name]()

        def fill(folder: Path) -> None:
            for key, table in result.tables.items():
                table.write_parquet(folder / f"{key}.parquet")
            summary = {key: value for key, value in vars(result).items() if key != "tables"}
            summary["estimates"] = [one.as_json() for one in result.estimates]
            write_json(folder / "summary.json", summary)
            if name == "overview":
                write_figure(emergence_figure(result.tables["emergence"]), "emergence", folder / "figures")

        return self._publish(name, "", {}, inputs, fill)

    def _overview(self) -> Result:
        rows = []
        for language, late in (("en", 0.35), ("ar", 0.45)):
            for layer in range(self.layers):
                auroc = 0.5 + 0.46 / (1 + np.exp(-(layer / self.layers - late) * 14))
                rows.append(
                    {"layer": layer, "language": language, "auroc": auroc, "low": auroc - 0.04, "high": auroc + 0.03}
                )
        source = Source("emergence", {"layer": 19}, "auroc")
        english = Estimate(
            "read.en", "AUROC of the label read on caption tokens before the word", 0.94, "AUROC", 210, "test images",
            source, (0.91, 0.97), Control("shuffled labels", 0.5, 0.42, 0.58, 200), null=0.5, p=1 / 201, q=0.01,
            draws=200, layer=19, language="en", answers=True,
            caveats=("the picture shows it, too", "by -0.2 of the frozen"),
        )  # fmt: skip
        arabic = replace(
            english, name="read.ar", language="ar", q=0.31, condition=f"by the feature of (امرأة, طبيبة) {HOSTILE}"
        )
        tests = pl.DataFrame(
            {
                "layer": [12, 12, 19], "feature": [311, 8, 1204], "language": ["en", "ar", "ar"],
                "auroc": [0.91, 0.884, 0.953], "q": [0.00001, 0.03, None], "log_odds": [2.5, -1.75, 3.125],
                "support": [1204, 88, 90],
                "promoted": [["▁she", "▁her", "woman"], ["▁امرأة", "ـة"], [HOSTILE]],
            }
        )  # fmt: skip
        tables = {"emergence": pl.DataFrame(rows), "top": tests, "empty": tests.clear()}
        shown = {"top": "Highest-ranked features", "empty": "Nothing was found"}
        notes = ("The control task gives each word type a random label.",)
        return Result(tables=tables, shown=shown, notes=notes, estimates=(english, arabic))


def interpretation() -> Result:
    """Two features in words, with two examples in each of two quantiles."""
    rows = [
        {
            "layer": 19, "feature": feature, "quantile": quantile, "rank": rank, "sample_id": "s0001",
            "segment": "caption" if rank == 1 else "image", "language": "ar" if quantile else "en",
            "value": 1.5 + quantile,
            "image": f"images/{quantile}.png", "context": strip(AR if quantile else EN, quantile) if rank == 1 else [],
        }
        for feature in (311, 1204, 7)
        for quantile in (0, 1)
        for rank in (1, 2)
    ]  # fmt: skip
    described = pl.DataFrame(
        {
            "layer": [19, 19],
            "feature": [1204, 311],
            "explanation": ["tokens: امرأة, she", HOSTILE],
            "score": [0.93, None],
        }
    )
    tables = {"described": described, "contexts": pl.DataFrame(rows)}
    return Result(tables=tables, shown={"described": "Features in words"})


def visual_patterns() -> Result:
    """Maps of one feature over three images."""
    rows = [
        {
            "layer": 8, "feature": 5, "rank": rank, "sample_id": f"s{rank}", "image": f"images/{rank}.png",
            "strongest": 4.0 - rank, "map": [float(n % (rank + 3)) for n in range(16)],
        }
        for rank in (1, 2, 3)
    ]  # fmt: skip
    return Result(tables={"maps": pl.DataFrame(rows)}, notes=("No boxes: maps are shown, not scored.",))


def qualitative() -> Result:
    """Two images, both languages each."""
    changed = {"en": EN.replace("woman", "man").replace("her", "his"), "ar": "في المطبخ رجل يطبخ عشاءه بمقلاة حمراء"}
    rows = [
        {
            "sample_id": sample, "image": f"images/{number}.png", "rule": rule, "language": language,
            "reference": caption, "clean": caption, "ablated": changed[language],
            "amplified": caption + " " + caption[-6:],
            "strip": strip(caption, number), "map": [float(n % (3 + number)) for n in range(16)],
            "effect": 1.25 - number,
        }
        for number, (sample, rule) in enumerate([("s0003", "largest_effect"), ("s0011", HOSTILE)])
        for language, caption in (("en", EN), ("ar", AR))
    ]  # fmt: skip
    return Result(tables={"gallery": pl.DataFrame(rows)}, shown={"gallery": "Gallery"})


_ANALYSES = {"interpretation": interpretation, "visual_patterns": visual_patterns, "qualitative": qualitative}


def strip(caption: str, shift: int) -> list[dict[str, Any]]:
    """A caption in sub-word tokens with made-up values."""
    tokens = []
    for number, word in enumerate(caption.split()):
        stem, end = (word[:-1], word[-1:]) if len(word) > 3 else (word, "")
        tokens += [{"token": f"▁{stem}", "value": float((number + shift) % 4 == 2) * 3.0}]
        tokens += [{"token": end, "value": 1.0 if end in "ةr" else -0.5 * (number % 5 == 4)}] if end else []
    return tokens


def emergence_figure(table: pl.DataFrame) -> Figure:
    """A curve with its band, a colour a language."""
    base = alt.Chart(table).encode(x=layer_x(), color=language_colour())
    scale = alt.Scale(domain=[0.4, 1])
    line = base.mark_line(point=True).encode(y=alt.Y("auroc:Q", title="AUROC", scale=scale))
    band = base.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title="AUROC", scale=scale), y2="high:Q")
    chart = (band + line + rule(0.5)).properties(width=WIDTH, height=HEIGHT)
    return Figure(chart, "Held-out AUROC by layer and language. Band: 95 % interval over images; dashed: chance.")


def draw_scene(path: Path, number: int) -> None:
    """A drawn picture of 96 × 96."""
    image = Image.new("RGB", (96, 96), ["#cfe8ff", "#fff0c9", "#e3f5dd", "#f4e1f3"][number])
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 70, 96, 96), fill="#9bbf7a")
    pen.ellipse((20 + 12 * number, 20, 48 + 12 * number, 48), fill="#e0ac69")
    pen.rectangle((24 + 12 * number, 48, 44 + 12 * number, 80), fill="#4a6fa5")
    image.save(path)


def write_json(path: Path, value: Any) -> None:
    """Plain JSON."""
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
