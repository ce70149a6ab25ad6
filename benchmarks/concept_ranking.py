"""How long a concept scan's ranking takes, and its peak memory, on synthetic activations.

    python benchmarks/concept_ranking.py [--saes 135] [--width 16384] [--sentences 200] [--active 70] [--min-support 5]

The activations are synthetic: of each SAE `--active` features are drawn per sentence, with probabilities that fall as a
power law, and one feature of the first SAE rises with the label. As many sentences are held out as are ranked. Stages
are timed one after the other in one process; peak memory is that of the process up to there, its data included. Floor:
one sort of as many numbers as there are activations. The random dictionary is timed on one SAE of D 2304 and
multiplied: a projection.
"""

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy import sparse

from core.concepts.beside import Beside
from core.concepts.chosen import Chosen, top_features
from core.concepts.full_sentences import FullSentences, side_by_side
from core.concepts.permuted import best_of
from core.concepts.random_dictionary import random_codes
from core.concepts.ranking import rank_concept
from core.concepts.scores import Scores, score_features
from core.study.concept_scan import RankingSettings

D_MODEL = 2304
WORDS = ("a", "dog", "runs", "fast", "red", "blue", "him", "tree", "sea", "on", "the", "hill")
T = TypeVar("T")


def activations(seed: int, sentences: int, width: int, active: int) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    features = np.sort((width * rng.random((sentences, active)) ** 3).astype(np.int32), axis=1)
    values = (rng.gamma(2, 2, features.size) + 1e-3).astype(np.float32)
    indptr = np.arange(0, features.size + 1, active)
    found = sparse.csr_array((values, features.ravel(), indptr), shape=(sentences, width))
    found.sum_duplicates()
    return found


def synthetic(saes: int, width: int, sentences: int, active: int) -> FullSentences:
    count = 2 * sentences
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(count) % 4)
    split = np.repeat(["selection", "held-out"], sentences)
    parts = [(f"sae {number}", activations(number, count, width, active)) for number in range(saes)]
    planted = parts[0][1].tolil()
    planted[:, [width - 1]] = np.maximum(0, labels - 1 + rng.normal(size=count))[:, None]
    parts[0] = ("sae 0", planted.tocsr())
    active_all, columns = timed("gather the SAEs into one matrix", lambda: side_by_side(parts))
    return FullSentences(active_all, columns, labels, np.log(rng.integers(5, 40, count)), np.arange(count), split)


def timed(what: str, run: Callable[[], T]) -> T:
    start, used = time.perf_counter(), time.process_time()
    found = run()
    seconds, used = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {what} | {seconds:.2f} | {used:.2f} | {peak:,.0f} |", flush=True)
    return found


def read_beside(sentences: FullSentences, width: int, active: int) -> Beside:
    count, rng = sentences.labels.size, np.random.default_rng(1)
    keys = sentences.columns.keys
    random = side_by_side((key, activations(1000 + number, count, width, active)) for number, key in enumerate(keys))
    texts = [" ".join(rng.choice(WORDS, 8)) for _ in range(count)]
    streams = {layer: rng.normal(size=(count, D_MODEL)).astype(np.float32) for layer in range(26)}
    return Beside(texts, streams, sentences.with_features(*random))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("saes", 135), ("width", 16384), ("sentences", 200), ("active", 70), ("min-support", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, NumPy {np.__version__}")
    print(
        f"synthetic: {given.saes} SAEs × {given.width:,} features, {given.sentences} sentences ranked, as many held out"
    )
    print("\n| stage | seconds | CPU seconds | peak MB |\n|---|---|---|---|")
    sentences = synthetic(given.saes, given.width, given.sentences, given.active)
    settings = RankingSettings(min_support=given.min_support)
    selection = sentences.selection
    numbers = selection.active.data.copy()
    timed(f"floor: sort {numbers.size:,} numbers", lambda: np.sort(numbers))

    def score() -> Scores:
        scores = score_features(selection, settings.min_support)
        scores.table()
        return scores

    scores = timed("score all features: three measures, p, q, means, table", score)
    best = {
        name: timed(
            f"{settings.permutations} permutations, {name}", lambda one=one: best_of(one, settings.permutations, 0)
        )
        for name, one in scores.measured.items()
    }
    chosen = Chosen.of(scores, settings.by, settings.top)
    timed(
        f"second look at {settings.top} and their held-out AUROCs, {settings.resamples} resamples of all features",
        lambda: top_features(sentences, scores, chosen, best[settings.by], settings),
    )
    beside = timed("draw what the baselines read", lambda: read_beside(sentences, given.width, given.active))
    found = timed("everything: rank_concept with baselines", lambda: rank_concept(sentences, beside, settings))
    stream = np.random.default_rng(2).normal(size=(2 * given.sentences, D_MODEL))
    counts = np.full(len(stream), given.active)
    used = time.process_time()
    random_codes(stream, stream.mean(axis=0), given.width, counts, 0)
    print(f"\nrandom dictionary, projected from one SAE: {given.saes * (time.process_time() - used):.0f} CPU seconds")
    summary = found.summary
    print(f"features {summary['features']:,}: {summary['silent']:,} silent, {summary['rare']:,} rare, ", end="")
    print(f"{summary['tested']:,} tested; discoveries {summary['discoveries']}")
    first = found.tables["top_features"].row(0, named=True)
    print(f"first: feature {first['feature']} of {first['sae']}, Spearman {first['spearman']:.3f}")


if __name__ == "__main__":
    main()
