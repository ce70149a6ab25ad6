"""A run has the study's title, whatever it was given: a file's name, a study, or its fields."""

from core.planning.loading import load_study
from flows.runtime.settings import PROJECT
from flows.titles import title_of

MINI = PROJECT / "deployments" / "studies" / "mini.yaml"


def test_a_run_is_called_after_the_variant_and_the_layer() -> None:
    variant = load_study(MINI, ["sae.k=4"])
    assert title_of(variant) == "mini · sae.k=4" and title_of(variant, 17) == "mini · sae.k=4 · layer 17"
    assert title_of({"name": "mini", "variant": "sae.k=4", "sae": {}}) == "mini · sae.k=4"
    assert title_of("studies/mini.yaml", 9) == "mini · layer 9" and title_of("mini+sae.k=4") == "mini+sae.k=4"
