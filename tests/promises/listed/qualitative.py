"""Changes that break what the gallery's numbers promise."""

from tests.promises.mutation import Mutant

TESTS = "test_qualitative.py"
CHANGES, FINDINGS, RUN = (f"core/analysis/qualitative/{name}.py" for name in ("gender_changes", "findings", "run"))
MUTANTS = (
    Mutant(
        "qualitative: generated captions are labelled in their own language",
        CHANGES,
        'is_turned(GENDER, before, text, row["language"])',
        'is_turned(GENDER, before, text, "en")',
        TESTS,
    ),
    Mutant(
        "qualitative: clean captions are labelled in their own language",
        CHANGES,
        'told_side(GENDER, row["clean"], row["language"])',
        'told_side(GENDER, row["clean"], "en")',
        TESTS,
    ),
    Mutant(
        "qualitative: only the other gender is a change",
        "core/causal/written.py",
        "not in (None, before)",
        "!= before",
        TESTS,
    ),
    Mutant(
        "qualitative: captions of an image are averaged first",
        CHANGES,
        'keys = ["language", "condition"]\n    images = by_image.group_by(*keys, "image_id", maintain_order=True)',
        'keys = ["language", "condition"]\n    by_image = by_image.select(pl.all().repeat_by("captions").explode())\n'
        '    by_image = by_image.with_row_index("n").with_columns(image_id=pl.format("{}", "n"))\n'
        '    images = by_image.group_by(*keys, "image_id", maintain_order=True)',
        TESTS,
    ),
    Mutant(
        "qualitative: captions of an image are averaged, not summed",
        CHANGES,
        'agg(pl.col("changed").mean(), pl.len().alias("captions"))',
        'agg(pl.col("changed").sum(), pl.len().alias("captions"))',
        TESTS,
    ),
    Mutant(
        "qualitative: the difference is paired by image",
        CHANGES,
        "paired = own - sets.mean(axis=1)",
        "paired = own - sets.mean()",
        TESTS,
    ),
    Mutant(
        "qualitative: every random set counts",
        CHANGES,
        "paired = own - sets.mean(axis=1)",
        "paired = own - sets[:, 0]",
        TESTS,
    ),
    Mutant(
        "qualitative: amplification has a control of its own",
        CHANGES,
        '"amplified": "random_amplified"}',
        '"amplified": "random"}',
        TESTS,
    ),
    Mutant(
        "qualitative: twins are one unit (interval)",
        CHANGES,
        "found = bootstrap_mean(paired, RESAMPLES, seed, units)",
        "found = bootstrap_mean(paired, RESAMPLES, seed)",
        TESTS,
    ),
    Mutant(
        "qualitative: twins are one unit (p)",
        CHANGES,
        "sign_flip_p(paired, FLIPS, seed, units)",
        "sign_flip_p(paired, FLIPS, seed)",
        TESTS,
    ),
    Mutant(
        "qualitative: a random set is compared with the others",
        CHANGES,
        "np.delete(rates, number).mean()",
        "rates.mean()",
        TESTS,
    ),
    Mutant(
        "qualitative: without a random set nothing is claimed",
        FINDINGS,
        "            described=True,\n",
        "            p=0.001,\n            q=0.001,\n",
        TESTS,
    ),
    Mutant(
        "qualitative: q is corrected over languages and interventions",
        CHANGES,
        'q = stats.false_discovery_control(table["p"].to_numpy()) if table.height else np.zeros(0)',
        'q = table["p"].to_numpy() if table.height else np.zeros(0)',
        TESTS,
    ),
    Mutant(
        "qualitative: random vectors are as long as the chosen one",
        RUN,
        "vector * (other.norm() / vector.norm().clamp(min=1e-30))",
        "vector * 1.0",
        TESTS,
    ),
    Mutant(
        "qualitative: captions are steered away from the clean caption's gender",
        RUN,
        "texts |= texts_of(Steering(vector * (sign * dose)), which)",
        "texts |= texts_of(Steering(vector * dose), which)",
        TESTS,
    ),
    Mutant(
        "qualitative: random sets are those of the study's seed",
        RUN,
        "matched_controls(opened, features, config.random_sets, inputs.seed)",
        "matched_controls(opened, features, config.random_sets, 0)",
        TESTS,
    ),
    Mutant(
        "permuted: p is two-sided",
        "core/stats/permuted.py",
        "return float((1 + np.count_nonzero(np.abs(signs @ sums) >= observed)) / (1 + draws))",
        "return float((1 + np.count_nonzero(signs @ sums >= observed)) / (1 + draws))",
        TESTS,
    ),
    Mutant(
        "permuted: no p is below 1 / (draws + 1)",
        "core/stats/permuted.py",
        "return float((1 + np.count_nonzero(np.abs(signs @ sums) >= observed)) / (1 + draws))",
        "return float(np.count_nonzero(np.abs(signs @ sums) >= observed) / draws)",
        TESTS,
    ),
)
