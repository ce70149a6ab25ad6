"""Words of a whole lexicon and written captions, against one word, one caption and one patch at a time."""

import numpy as np
import pytest

from core.causal.interventions import Ablation, during_generation
from core.causal.pairs import MinimalPair, choose_samples, find_pairs
from core.causal.rewritten import Rewriter
from core.causal.runs import PairRuns
from core.causal.word_sets import WordSets, of_pairs, side_odds
from core.causal.written import clean_costs, prompt_of
from core.features.inputs import AnalysisInputs
from core.lm.agreement import logits_of
from core.lm.generate import Intervention, generate
from core.lm.hooks import edit
from core.lm.outcomes import word_ends
from core.lm.patched import build_batch, run_full
from core.lm.prompts import CaptionRequest, encode_sample
from tests.core.causal.causal_world import LAYER, MALE, SAID, SEEN, CausalWorld


@pytest.fixture(scope="session")
def world(shared_causal_world: CausalWorld) -> CausalWorld:
    return shared_causal_world


def test_the_sides_odds_are_those_of_each_word_by_itself_in_the_full_model(world: CausalWorld) -> None:
    """Every word behind the prefix, one forward pass a word, the feature removed by a hook at every position."""
    inputs, loaded, view = world.inputs, world.loaded, world.inputs.open_layer(LAYER)
    ends, lexicon = (
        word_ends(loaded),
        of_pairs([("woman", "man"), ("her", "his"), ("she", "he"), ("policewoman", "men")]),
    )
    pairs = find_pairs(inputs, loaded, choose_samples(inputs, 2).captions, "en")[0]
    sets, said = WordSets(loaded, pairs, ends, lexicon), world.basis[SAID]
    patch = Ablation((SAID, MALE + SAID))
    expected = []
    for pair in pairs:
        scores = {False: [], True: []}  # type: dict[bool, list[float]]
        for text in lexicon.words:
            caption = pair.positive.sample.caption
            start = pair.positive.sample.spans[pair.positive.start][0]  # type: ignore[index]
            sample = encode_sample(loaded, replace_caption(inputs, pair, caption[:start] + text))
            batch = build_batch(loaded, [sample])
            for patched, found in scores.items():
                reach = batch.patchable()[..., None] * float(patched)
                removed = lambda stream, reach=reach: stream - (stream @ said)[..., None] * said * reach  # noqa: E731
                with edit(loaded.blocks, LAYER, removed):
                    table = logits_of(loaded, run_full(loaded, batch))[0].log_softmax(dim=-1)
                spelled = sum(float(table[i - 1, sample.ids[i]]) for i in range(pair.prefix_length, len(sample.ids)))
                found.append(spelled + float(table[-1, ends].logsumexp(0)))
        clean, after = (side_odds(np.array([scores[one]]), lexicon.positive)[0] for one in (False, True))
        expected.append(after - clean)
    assert sets.whole_shift(view, patch) == pytest.approx(expected, abs=1e-3)


def replace_caption(inputs: AnalysisInputs, pair: MinimalPair, caption: str) -> CaptionRequest:
    own = pair.caption
    instruction = inputs.instructions[own.language]
    return CaptionRequest(own.sample_id, own.image_id, own.language, caption, instruction, own.image)


def test_captions_under_a_patch_are_those_that_are_written_under_it(world: CausalWorld) -> None:
    """Whether a caption stays is read in one pass; what does not is written: both as the generation that is known."""
    inputs, loaded, view = world.inputs, world.loaded, world.inputs.open_layer(LAYER)
    pairs, _ = find_pairs(inputs, loaded, choose_samples(inputs, 4).rows, "en")
    writer = Rewriter(inputs, view, pairs, 4)
    patches = [Ablation((SAID, MALE + SAID)), Ablation((SEEN, MALE + SEEN)), Ablation((60,))]
    stay = [len(pairs) - len(writer.changed(patch)) for patch in patches]
    assert stay[0] < len(pairs) and stay[2] > 0  # both ways are taken
    prompts = [prompt_of(inputs, loaded, pair) for pair in pairs]
    for patch, texts in zip(patches, writer.under(patches), strict=True):
        force = Intervention(LAYER, during_generation(view.sae, patch, view.table.norm_limit))
        assert texts == generate(loaded, prompts, 4, force)
    assert writer.clean == generate(loaded, prompts, 4)


def test_quality_is_the_clean_models_cross_entropy_of_the_words_that_tell_nothing(world: CausalWorld) -> None:
    inputs, loaded = world.inputs, world.loaded
    pairs, _ = find_pairs(inputs, loaded, choose_samples(inputs, 2).rows, "en")
    text = "In a kitchen, a woman is singing."
    prompts = [prompt_of(inputs, loaded, pair) for pair in (pairs[0], pairs[0], pairs[1])]
    found = [cost.other for cost in clean_costs(inputs, loaded, prompts, [text, "", text])]
    sample = encode_sample(loaded, replace_caption(inputs, pairs[0], text))
    table = logits_of(loaded, run_full(loaded, build_batch(loaded, [sample])))[0].log_softmax(dim=-1)
    start, end = text.index("woman"), text.index("woman") + len("woman")
    spans = enumerate(sample.spans)
    other = [i for i, span in spans if span is not None and not (span[0] < end and start < span[1])]
    assert found[0] == pytest.approx(-np.mean([float(table[i - 1, sample.ids[i]]) for i in other]), abs=1e-4)
    assert np.isnan(found[1]) and np.isfinite(found[2])


def test_batching_does_not_move_the_outcome(world: CausalWorld) -> None:
    inputs, loaded = world.inputs, world.loaded
    pairs, _ = find_pairs(inputs, loaded, choose_samples(inputs, 6).captions, "ar")
    ends = word_ends(loaded)
    together = PairRuns(loaded, pairs, ends)
    whole = together.log_odds(LAYER, together.streams(LAYER))
    for number, pair in enumerate(pairs):
        single = PairRuns(loaded, [pair], ends)
        assert single.log_odds(LAYER, single.streams(LAYER))[0] == pytest.approx(whole[number], abs=1e-4)
