"""Everything that can be asked of one feature, as a dossier."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from core.data.concept import Concept
from core.data.languages import LANGUAGES
from core.stats.families import ALPHA
from core.study.sites import STREAM
from explorer.asking.answer import cells, names_of
from explorer.asking.explained import said
from explorer.asking.looked import Looked
from explorer.asking.looks import promoted
from explorer.asking.sentences import control, explained, share
from explorer.asking.varying import EFFECT, Judged, Plan, check_site, judge, run_varied
from explorer.reading.positions import positions
from explorer.reading.study_model import opened_model

if TYPE_CHECKING:
    from core.features.hypotheses import Hypotheses


@dataclass(frozen=True)
class Asked:
    """Whose captions, how many test images are varied, and whether the feature is taken out of the stream as well."""

    language: str | None = None
    images: int = 20
    ablate: bool = True


@dataclass(frozen=True)
class Part:
    """A heading, sentences and tables of the dossier."""

    heading: str
    lines: tuple[str, ...] = ()
    tables: tuple[pl.DataFrame, ...] = ()

    def markdown(self) -> str:
        """The part as Markdown."""
        text = [f"## {self.heading}", *self.lines]
        for table in self.tables:
            head = [name.replace("_", " ") for name in names_of(table)]
            rows = [head, ["---"] * len(head), *(cells(row) for row in table.to_dicts())]
            text.append("\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows))
        return "\n\n".join(text)


def dossier(looked: Looked, feature: int, asked: Asked, say: Callable[[str], object] = lambda _: None) -> str:
    """Everything that can be asked of a feature, as Markdown; `say` is told what is done meanwhile.

    Raises:
        BadInput: there is no such feature or language, or the study's model is not on this machine.
    """
    looked.view.feature(feature)
    parts = parts_of(looked, feature, asked, say)
    if asked.ablate:
        say("taking the feature out")
        parts.append(_ablated(looked, feature))
    return "\n\n".join([f"# {looked.title(feature)}", *(part.markdown() for part in parts)]) + "\n"


def parts_of(looked: Looked, feature: int, asked: Asked, say: Callable[[str], object] = lambda _: None) -> list[Part]:
    """The label proposed, what the feature is, what catalogues say, what was observed, and what varying did."""
    from core.features.hypotheses import hypotheses

    means, words = looked.means(feature, asked.language, None)
    found = hypotheses(means, looked.study.samples)
    runs = _interventions(looked, feature, asked, say)
    observed = Part("Observed", (f"{words[0].upper()}{words[1:]}.", *_observed(found)), (found.spreads, found.values))
    about = [_what_it_is(looked, feature), *_explained(looked, feature)]
    return [proposal(found, runs, looked.view.concept), *about, observed, _intervened(runs)]


def proposal(found: "Hypotheses", runs: Mapping[str, Judged], concept: Concept) -> Part:
    """The label, and what speaks for it and against it."""
    if found.leading is None:
        return Part("Proposed label: none", ("No attribute of the images explains more than shuffled values do.",))
    lines = [f"For: {explained(found.spreads, found.leading)}"]
    own = {name: one for name, one in runs.items() if name in _what_varies(found.leading, concept)}
    for name, one in own.items():
        lines.append(f"{'For' if one.changes else 'Against'}: when {name} alone is varied, {one.words}.")
    for name, one in runs.items():
        if name not in own and one.changes:
            lines.append(f"Against: when {name} alone is varied, {one.words}.")
    if found.also:
        lines.append(f"Against: beyond {found.leading}, {', '.join(found.also)} explain something more.")
    if not own:
        lines.append(f"Against: {found.leading} was not varied, so that another attribute may stand behind it.")
    if found.label is None:
        lines.append(f"No value of {found.leading} has an interval above the mean over all images.")
    return Part(f"Proposed label: {found.label or 'none'}", tuple(lines))


def _what_varies(attribute: str, concept: Concept) -> tuple[str, ...]:
    """What is varied in scenes to change an attribute: itself, or the concept whose column it is."""
    columns = (concept.shown[0], *map(concept.label_column, LANGUAGES))
    return (attribute, concept.name) if attribute in columns else (attribute,)


def _what_it_is(looked: Looked, feature: int) -> Part:
    own = looked.view.feature(feature)
    known = own.statistics
    fires = f"Active in {known['count']:,} of {looked.view.index.num_rows:,} rows ({100 * known['density']:.2g} %)."
    tokens = promoted(looked, feature, 8)
    by = {way: tokens.filter(direction=way)["token"].to_list() for way in ("promoted", "suppressed")}
    lines = (fires, *(f"Tokens {way} (direct path): {' · '.join(map(repr, found))}" for way, found in by.items()))
    nearest = own.neighbours.drop("feature").head(5)
    return Part("What it is", lines, (positions(looked.study, looked.view.layer, own).drop("feature"), nearest))


def _explained(looked: Looked, feature: int) -> list[Part]:
    """What catalogues say of it, where the layer is in one."""
    lines, tables = said(looked, feature)
    return [Part("Explained", lines, tuple(tables.values()))] if lines else []


def _observed(found: "Hypotheses") -> tuple[str, ...]:
    if found.leading is None:
        return ("No attribute explains more than shuffled values do.",)
    beyond = [
        f"Beyond {found.leading}, {row['attribute']} explains {share(row)} of what is left ({control(row)})."
        for row in found.beyond.to_dicts()
    ]
    return (f"{found.leading} explains most.", *beyond)


def _interventions(looked: Looked, feature: int, asked: Asked, say: Callable[[str], object]) -> dict[str, Judged]:
    """The feature under each attribute of scenes that can be varied; none in a study of other samples."""
    from core.data.scene_changes import VALUES

    if looked.study.config["data"]["source"] != "scenes" or looked.study.config["capture"]["site"] != STREAM:
        return {}
    told, found = looked.language(asked.language), {}
    for attribute in VALUES:
        say(f"{attribute} is varied")
        found[attribute] = run_varied(looked, feature, Plan((attribute,), (), asked.images, told))
    return judge(found)


def _intervened(runs: dict[str, Judged]) -> Part:
    if not runs:
        return Part("Intervened", ("Only scenes, captured in the residual stream, can be varied here.",))
    lines = [EFFECT + " q is over all that was varied."]
    lines += [f"{name} ({one.varied.table['image_id'].n_unique()} images): {one.words}." for name, one in runs.items()]
    tables = [one.effects.select(pl.lit(name).alias("varied"), pl.all()) for name, one in runs.items()]
    return Part("Intervened: one attribute is varied, everything else is fixed", tuple(lines), tuple(tables))


def _ablated(looked: Looked, feature: int) -> Part:
    from core.causal.one_feature import Size, ablate_feature
    from core.reading.inputs import analysis_inputs

    check_site(looked.study)
    with opened_model(looked.study, looked.view.layer) as loaded:
        inputs = analysis_inputs(looked.study, lambda: loaded)
        table = ablate_feature(inputs, looked.view, feature, Size())
    name = looked.view.concept.name
    lines = [_effect(row, name) for row in table.to_dicts()]
    return Part("Taken out", tuple(lines or (f"No caption has a word of {name} with a counterpart.",)), (table,))


def _effect(row: dict[str, Any], name: str) -> str:
    shift = f"{row['mean']:.3g} nats"
    if row["low"] is not None:
        shift += f" [{row['low']:.3g}, {row['high']:.3g}]"
    what = f"{row['language']}: the first word of {name} shifts by {shift} toward the other side"
    if row["p"] is None:
        return f"{what}; no features match it, so that no effect is claimed."
    beside = (
        f"{row['draws']} matched features {row['control_low']:.2g} to {row['control_high']:.2g}, q = {row['q']:.2g}"
    )
    beyond = row["q"] <= ALPHA and row["low"] is not None and not row["low"] <= 0 <= row["high"]
    return f"{what} ({beside}): {'an effect' if beyond else 'no more than matched features do'}."
