"""Changes to the evolution's code and to the matching between layers."""

from tests.promises.mutation import Mutant

_TESTS = "test_evolution.py"
_LAYERS = "test_layer_matching.py"
_ROOM = "core/analysis/evolution"
_PERSISTENCE = f"{_ROOM}/persistence.py"
_MATCHING = "core/stats/matching.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "evolution: rows are of test images",
        f"{_ROOM}/run.py",
        'samples.filter(pl.col("split") == "test")["image_id"].unique()',
        'samples["image_id"].unique()',
        _TESTS,
    ),
    Mutant(
        "evolution: special rows are not compared",
        f"{_ROOM}/run.py",
        'usable = tokens.filter(~pl.col("special") & ',
        "usable = tokens.filter(",
        _TESTS,
    ),
    Mutant(
        "evolution: followed features are live, as those that they are compared with",
        _PERSISTENCE,
        "[feature for feature in ranking.strongest() if codes.live[feature]]",
        "[feature for feature in ranking.strongest()]",
        _TESTS,
    ),
    Mutant(
        "evolution: candidates are not associated with the concept",
        _PERSISTENCE,
        "pool[rest] = ranking.least_p[rest] >= ASSOCIATED",
        "pool[rest] = True",
        _TESTS,
    ),
    Mutant(
        "evolution: candidates pass the filters of the followed features",
        _PERSISTENCE,
        "pool[rest] = ranking.least_p[rest] >= ASSOCIATED",
        "pool = ranking.least_p >= ASSOCIATED",
        _TESTS,
    ),
    Mutant(
        "evolution: the comparison is with rate-matched features, not with all live ones",
        _PERSISTENCE,
        "return np.array([self.kept[candidates].mean() for candidates in self.chosen.matched.candidates])",
        "return np.array([self.kept.mean() for candidates in self.chosen.matched.candidates])",
        _TESTS,
    ),
    Mutant(
        "evolution: p is two-sided",
        _PERSISTENCE,
        "p=permutation_p(abs(found.mean), np.abs(null)),",
        "p=permutation_p(found.mean, null),",
        _TESTS,
    ),
    Mutant(
        "evolution: features linked by matches are one unit",
        _PERSISTENCE,
        "found = bootstrap_mean(kept - control, resamples, seed, units)",
        "found = bootstrap_mean(kept - control, resamples, seed)",
        _TESTS,
    ),
    Mutant(
        "evolution: chains are those of the feature's own layer",
        _PERSISTENCE,
        'joined = features.join(tracks, on=["layer", "feature"], how="left", maintain_order="left")',
        'joined = features.join(tracks.unique("feature"), on="feature", how="left", maintain_order="left")',
        _TESTS,
    ),
    Mutant(
        "evolution: draws differ from layer to layer and follow the seed",
        _PERSISTENCE,
        "np.random.default_rng([seed, self.layer])",
        "np.random.default_rng(0)",
        _TESTS,
    ),
    Mutant(
        "evolution: intervals follow the seed",
        f"{_ROOM}/findings.py",
        'bootstrap_mean(tables["flow"]["persistence"].to_numpy(), BOOTSTRAP, seed)',
        'bootstrap_mean(tables["flow"]["persistence"].to_numpy(), BOOTSTRAP, 1)',
        _TESTS,
    ),
    Mutant(
        "evolution: the lower layer's features have the matches",
        f"{_ROOM}/run.py",
        "kept[self.matches[number].first] = True",
        "kept[self.matches[number].second[:3]] = True",
        _TESTS,
    ),
    Mutant(
        "evolution: matches pass the threshold",
        f"{_ROOM}/run.py",
        "above = found.value > threshold",
        "above = found.value > -1",
        _TESTS,
    ),
    Mutant(
        "evolution: the described share answers nothing",
        f"{_ROOM}/findings.py",
        'condition="matches above the 99.9th percentile of permuted rows",\n            described=True,',
        'condition="matches above the 99.9th percentile of permuted rows",\n            answers=True,',
        _TESTS,
    ),
    Mutant(
        "evolution: survival compares the followed features' own candidates",
        f"{_ROOM}/lifetimes.py",
        '"ranked": [reached[feature] for feature in matched.features],',
        '"ranked": [reached[feature] for feature in chosen[layer].live],',
        _TESTS,
    ),
    Mutant(
        "matching of layers: the threshold comes from permuted rows",
        _MATCHING,
        "values = [match_activations(lower, upper, permute_within(strata, rng)).value for _ in range(permutations)]",
        "values = [match_activations(lower, upper).value for _ in range(permutations)]",
        _LAYERS,
    ),
    Mutant(
        "matching of layers: rows are permuted within strata",
        _MATCHING,
        "rows = np.flatnonzero(strata == stratum)",
        "rows = np.arange(strata.size)",
        _LAYERS,
    ),
    Mutant(
        "matching of layers: the threshold is the 99.9th percentile",
        _MATCHING,
        "QUANTILE = 0.999",
        "QUANTILE = 0.5",
        _LAYERS,
    ),
    Mutant(
        "matching of layers: a match is the nearest both ways",
        _MATCHING,
        "(value == best_first[first]) & (value == best_second[second])",
        "(value == best_first[first])",
        _LAYERS,
    ),
    Mutant(
        "matching of layers: a feature active on fewer than ten rows is silent",
        _MATCHING,
        "counts >= MIN_ROWS",
        "counts >= 1",
        _LAYERS,
    ),
    Mutant(
        "matching of layers: silent features are matched with nothing",
        _MATCHING,
        "usable = lower.live[first] & upper.live[second] & (deviations > 0)",
        "usable = deviations > 0",
        _LAYERS,
    ),
    Mutant(
        "matching of layers: matches are by correlation",
        _MATCHING,
        "shared = scores.data / lower.active.shape[0] - lower.mean[first] * upper.mean[second]",
        "shared = scores.data / lower.active.shape[0]",
        _LAYERS,
    ),
    Mutant(
        "matching of layers: a chain follows its match",
        _MATCHING,
        "inherited[pairs.second] = tracks[pairs.first]",
        "inherited[pairs.first] = tracks[pairs.first]",
        _LAYERS,
    ),
)
