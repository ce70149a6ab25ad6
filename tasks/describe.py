"""What a study knows of all features of a layer beside their index."""

from collections.abc import Mapping

from core.features import describe
from core.sae.formats import load_sae
from tasks.capture import open_table
from tasks.context import Work
from tasks.models import open_model


def describe_features(work: Work) -> Mapping[str, float]:
    """Write each feature's histogram, the tokens' rarity, and the tokens that each feature promotes and suppresses."""
    table = open_table(work, work.input("layer"), int(work.recipe["layer"]))
    head = (load_sae(work.input("sae")), open_model(work)) if "model" in work.recipe else None
    return describe.describe_features(work.input("index"), table, head, work.out, work.progress)
