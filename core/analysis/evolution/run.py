"""Which features have a match in the next layer, and which are born or die there?

Features of consecutive layers are matched one to one by what they fire on; chains of matches are tracks with a birth,
a death and a lifetime. The features that rank highest on the selection split are compared with others of their layer
that fire as often, on rows of test images. CKA compares the layers' geometry without any SAE.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import sparse

from core.activations.outliers import is_outlier
from core.analysis.evolution import Config
from core.analysis.evolution.ceiling import SeedMatch, ceiling_table, matches, sibling_codes
from core.analysis.evolution.findings import BOOTSTRAP, findings, summary_table
from core.analysis.evolution.lifetimes import flow_table, lifetimes, metrics, notes, survival
from core.analysis.evolution.persistence import FOLLOWED, RANKED, Chosen, Step, beyond_matched
from core.analysis.result import Result
from core.data.concept import OTHER
from core.errors import BadInput
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.row_groups import code_blocks, stream_means
from core.features.significance import how_many, ranked_tests, significant, with_q
from core.stats.matching import Codes, Pairs, chain, cosines, match_activations, match_decoders, permuted_threshold
from core.stats.similarity import centred_gram, cka, cka_table, pick_images

SHOWN = {"flow": "Features from layer to layer", "lifetimes": "Lifetimes of features"}
CEILING_SHOWN = {"ceiling": "Beside two seeds of each layer"}
_KEYS = ["sample_id", "language", "position"]


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Match each layer asked for with the next one.

    Raises:
        BadInput: fewer than two of the layers were captured.
    """
    layers = inputs.chosen_layers(config.layers, "evolution")
    if len(layers) < 2:
        raise BadInput("analyses.evolution.layers: two layers at least are needed to compare; name more or set it null")
    walk = _Walk(inputs, config)
    for number, layer in enumerate(layers):
        walk.add(inputs.open_layer(layer))
        inputs.progress(number + 1, len(layers))
    tables = walk.tables(layers)
    unmatched = sum(len(chosen.matched.unmatched) for chosen in walk.chosen[:-1])
    told = notes(inputs.images is None, walk.missing, unmatched, bool(walk.ceilings))
    cut_short = int(tables["lifetimes"]["cut_short"].sum())
    found = findings(tables["summary"], cut_short, walk.ranked(layers), inputs.counted)
    return Result(
        metrics=metrics(tables),
        tables=tables,
        shown=SHOWN | (CEILING_SHOWN if walk.ceilings else {}),
        notes=told,
        estimates=found,
    )


@dataclass(frozen=True)
class _Layer:
    codes: Codes
    decoder: Float[np.ndarray, "F D"]


@dataclass
class _Walk:
    """Goes up the layers with the layer below in hand."""

    inputs: AnalysisInputs
    config: Config
    rows: pl.DataFrame | None = None
    missing: int = 0
    layers: list[_Layer] = field(default_factory=list)
    live: list[np.ndarray] = field(default_factory=list)
    chosen: list[Chosen] = field(default_factory=list)
    tests: list[pl.DataFrame] = field(default_factory=list)
    matches: list[Pairs] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    frames: list[pl.DataFrame] = field(default_factory=list)
    ceilings: dict[int, SeedMatch] = field(default_factory=dict)
    grams: dict[str, list[Float[np.ndarray, "n n"]]] = field(default_factory=dict)

    def add(self, opened: LayerView) -> None:
        if self.rows is None:
            self.rows = draw_rows(opened.table.tokens, self.inputs.samples, self.config.rows, self.inputs.seed)
        rows = find_rows(opened.table.tokens, self.rows)
        self.missing += int((rows < 0).sum())
        codes = Codes.of(read_codes(opened, rows))
        current = _Layer(codes, opened.sae.W_dec.detach().float().cpu().numpy())
        chosen = Chosen.of(opened.ranking, codes)
        self.live.append(codes.live)
        self.chosen.append(chosen)
        self.tests.append(ranked_tests(opened.layer, opened.ranking))
        self._add_ceiling(opened, codes, rows)
        self._compare(current)
        self.layers = [current]  # the one below is all that the next comparison needs
        self._add_grams(opened)

    def _add_ceiling(self, opened: LayerView, own: Codes, rows: Int[np.ndarray, " R"]) -> None:
        if self.inputs.open_sibling is None or self.rows is None:
            return
        other = sibling_codes(opened, self.inputs.open_sibling(opened.layer), rows)
        if self.layers:
            below = next(reversed(self.ceilings))
            self.ceilings[below] = replace(self.ceilings[below], across=self._matches(self.layers[-1].codes, other))
        self.ceilings[opened.layer] = SeedMatch(int(own.live.sum()), self._matches(own, other))

    def _matches(self, own: Codes, other: Codes) -> int:
        assert self.rows is not None, "no rows were drawn"
        strata = self.rows["stratum"].to_numpy()
        return matches(own, other, strata, self.config.permutations, self.inputs.seed)

    def _compare(self, upper: _Layer) -> None:
        if not self.layers or self.rows is None:
            return
        lower, seed = self.layers[-1], self.inputs.seed
        strata = self.rows["stratum"].to_numpy()
        threshold = permuted_threshold(lower.codes, upper.codes, strata, self.config.permutations, seed)
        found = match_activations(lower.codes, upper.codes)
        above = found.value > threshold
        pairs = Pairs(found.first[above], found.second[above], found.value[above])
        written = match_decoders(lower.decoder, upper.decoder, (lower.codes.live, upper.codes.live))
        agree = set(zip(written.first.tolist(), written.second.tolist(), strict=True))
        both = [pair in agree for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
        self.matches.append(pairs)
        self.thresholds.append(threshold)
        columns = {"feature": pairs.first, "next_feature": pairs.second, "correlation": pairs.value}
        cosine = cosines(lower.decoder, upper.decoder, pairs)
        self.frames.append(pl.DataFrame({**columns, "cosine": cosine, "decoder_agrees": np.array(both, dtype=bool)}))

    def _add_grams(self, opened: LayerView) -> None:
        first = self.inputs.languages[0]
        places = {"image tokens": (first, "image")} if self.inputs.images is not None else {}
        places["items"] = (first, "item")
        own = self.inputs.concept.positions
        in_captions = (own.before, own.first, own.later, OTHER)
        sets = {**places, **{f"captions ({language})": (language, *in_captions) for language in self.inputs.languages}}
        for place, (language, *position_sets) in sets.items():
            images, means = stream_means(opened.stream_sums, opened.groups, language, *position_sets)
            if len(images) > 3:
                self.grams.setdefault(place, []).append(centred_gram(means[pick_images(len(images), self.inputs.seed)]))

    def tables(self, layers: tuple[int, ...]) -> dict[str, pl.DataFrame]:
        steps = list(pairwise(layers))
        for number, (lower, upper) in enumerate(steps):
            place = (pl.lit(lower, dtype=pl.UInt16).alias("layer"), pl.lit(upper, dtype=pl.UInt16).alias("next_layer"))
            self.frames[number] = self.frames[number].select(*place, pl.all())
        tracks = chain(layers, self.live, self.matches)
        matched = pl.concat(self.frames)
        followed = self._steps(steps)
        similar = [
            cka_table(place, list(layers), cka(grams), grams[0].shape[0])
            for place, grams in self.grams.items()
            if len(grams) == len(layers) and len({gram.shape for gram in grams}) == 1
        ]
        empty = cka_table("", [], np.zeros((0, 0)), 0)
        tables = {
            "flow": flow_table(followed, self.live, matched, self.thresholds, self.inputs.seed),
            "followed": pl.concat([FOLLOWED.to_frame(), *(step.table() for step in followed)]),
            "lifetimes": lifetimes(tracks, layers),
            "survival": survival(tracks, dict(zip(layers, self.chosen, strict=True)), layers),
            "cka": pl.concat([empty, *similar]),
            "matches": matched,
            "tracks": tracks,
        }
        if self.ceilings:
            tables["ceiling"] = ceiling_table(self.ceilings)
        beyond = beyond_matched(followed, tracks, BOOTSTRAP, self.inputs.seed)
        return {**tables, "summary": summary_table(tables, beyond, self.inputs.seed)}

    def _steps(self, layers: list[tuple[int, int]]) -> list[Step]:
        found = []
        for number, (lower, upper) in enumerate(layers):
            kept = np.zeros(self.live[number].size, dtype=bool)
            kept[self.matches[number].first] = True
            found.append(Step(lower, upper, self.chosen[number], kept))
        return found

    def ranked(self, layers: tuple[int, ...]) -> str:
        """How the followed features were chosen, and how many of them are significant."""
        below = range(len(layers) - 1)  # above the last layer there is no other
        chosen = [(layers[number], feature) for number in below for feature in self.chosen[number].live]
        features = pl.DataFrame(chosen, {"layer": pl.UInt16, "feature": pl.UInt32}, orient="row")
        passed = significant(with_q(features, self.tests[:-1]))
        ranked = f"up to {RANKED} live features of each layer ranked highest for {self.inputs.concept.name}"
        return f"{ranked} on the selection split, {how_many(passed, features.height)}"


def draw_rows(tokens: pl.DataFrame, samples: pl.DataFrame, rows: int, seed: int) -> pl.DataFrame:
    """At most `rows` rows of test images that enter statistics: sample_id, language, position, and stratum (segment
    and language)."""
    test = samples.filter(pl.col("split") == "test")["image_id"].unique()
    usable = tokens.filter(~pl.col("special") & pl.col("image_id").cast(pl.String).is_in(test.implode()))
    chosen = np.sort(np.random.default_rng(seed).permutation(usable.height)[:rows])
    stratum = pl.struct("segment", "language").rank("dense").cast(pl.Int64).alias("stratum")
    return usable[chosen].select(*_KEYS, stratum)


def find_rows(tokens: pl.DataFrame, rows: pl.DataFrame) -> Int[np.ndarray, " R"]:
    """Where the drawn rows stand in a layer; −1 for rows that are not finite there, or outliers."""
    place = tokens.with_row_index("place").filter(~is_outlier(tokens)).select(*_KEYS, "place")
    found = rows.join(place, on=_KEYS, how="left", nulls_equal=True, maintain_order="left")["place"]
    return found.cast(pl.Int64).fill_null(-1).to_numpy()


def read_codes(opened: LayerView, rows: Int[np.ndarray, " R"]) -> sparse.csr_array:
    """The layer's features [R, F] on the rows, in their order; rows that are not there are silent."""
    codes = sparse.csr_array((rows.size, opened.index.num_features), dtype=np.float32)
    for start, stop, block in code_blocks(opened.index):
        inside = np.flatnonzero((rows >= start) & (rows < stop))
        ones = np.ones(inside.size, dtype=np.float32)
        codes = (
            codes + sparse.csr_array((ones, (inside, rows[inside] - start)), shape=(rows.size, stop - start)) @ block
        )
    return sparse.csr_array(codes)
