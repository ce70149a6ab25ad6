"""`saeflow feature investigate`: everything that can be asked of one feature, as a dossier."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from cli.answer import cells, names_of
from cli.intervene import EFFECT, Judged, Plan, judge, open_model, run_varied
from cli.looked import FeatureArgument, ImagesOption, LanguageOption, LayerOption, Looked, StudyOption
from cli.terminal import console, errors
from core.errors import BadInput

_ALPHA = 0.05


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


def investigate(
    feature: FeatureArgument,
    study: StudyOption = None,
    layer: LayerOption = None,
    language: LanguageOption = None,
    images: ImagesOption = 20,
    ablate: Annotated[bool, typer.Option(help="Take the feature out and see what it does to the word.")] = True,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the dossier to this file.")] = None,
) -> None:
    """Ask everything of one feature, and write a dossier: hypotheses, evidence for and against, a proposed label.

    What fires it, the tokens it promotes, what it goes with, what changes it when scenes are varied, and what taking it
    out does to the concept's word. The model runs; minutes on two cores.

    [dim]saeflow feature investigate 57 --layer 8 --out feature-57.md[/dim]
    """
    looked = Looked.at(study, layer)
    looked.view.feature(feature)
    if out is not None and not out.expanduser().absolute().parent.is_dir():
        raise BadInput(f"--out {out}: its folder does not exist")
    model = open_model(looked.study)
    parts = list(_parts(looked, feature, language, images, model))
    if ablate:
        errors.print("[dim]taking the feature out[/dim]")
        parts.append(_ablated(looked, feature, model))
    text = "\n\n".join([f"# {looked.title(feature)}", *(part.markdown() for part in parts)]) + "\n"
    if out is None:
        console.print(text, markup=False)
    else:
        out.expanduser().write_text(text, encoding="utf-8")
        console.print(f"  {out}", markup=False)


def _parts(looked: Looked, feature: int, language: str | None, images: int, model: Any) -> list[Part]:
    from core.features.hypotheses import hypotheses

    means, words = looked.means(feature, language, None)
    found = hypotheses(means, looked.study.samples)
    runs = _interventions(looked, feature, language, images)
    observed = Part("Observed", (f"{words[0].upper()}{words[1:]}.", *_observed(found)), (found.spreads, found.values))
    return [_proposal(found, runs), _what_it_is(looked, feature, model), observed, _intervened(runs)]


def _proposal(found: Any, runs: dict[str, Judged]) -> Part:
    """The label, and what speaks for it and against it."""
    if found.label is None:
        return Part("Proposed label: none", ("No attribute of the images goes with the feature beyond chance.",))
    head = found.spreads.row(0, named=True)
    lines = [
        f"For: {found.leading} explains {100 * head['share']:.3g} % of the variance over images (shuffled "
        f"{100 * head['control_low']:.2g} to {100 * head['control_high']:.2g} %, q = {head['q']:.2g})."
    ]
    own = {name: one for name, one in runs.items() if name in found.leading}
    for name, one in own.items():
        lines.append(f"{'For' if one.changes else 'Against'}: when {name} alone is varied, {one.words}.")
    for name, one in runs.items():
        if name not in own and one.changes:
            lines.append(f"Against: when {name} alone is varied, {one.words}.")
    if found.also:
        lines.append(f"Against: beyond {found.leading}, {', '.join(found.also)} explain something more.")
    if not own:
        lines.append(f"Against: {found.leading} was not varied, so that another attribute may stand behind it.")
    return Part(f"Proposed label: {found.label}", tuple(lines))


def _what_it_is(looked: Looked, feature: int, model: Any) -> Part:
    from core.features.influence import promoted_tokens

    own = looked.view.feature(feature)
    known = own.statistics
    share = f"Active in {known['count']:,} of {looked.view.index.num_rows:,} rows ({100 * known['density']:.2g} %)."
    tokens = promoted_tokens(looked.view.sae, model, [feature], 8)
    by = {way: tokens.filter(direction=way)["token"].to_list() for way in ("promoted", "suppressed")}
    lines = (share, *(f"Tokens {way} (direct path): {' · '.join(map(repr, found))}" for way, found in by.items()))
    nearest = own.neighbours.drop("feature").head(5)
    return Part("What it is", lines, (own.positions.drop("feature"), nearest))


def _observed(found: Any) -> tuple[str, ...]:
    if found.leading is None:
        return ("No attribute explains more than shuffled values do.",)
    beyond = [
        f"Beyond {found.leading}, {row['attribute']} explains {100 * row['share']:.3g} % of what is left (shuffled "
        f"{100 * row['control_low']:.2g} to {100 * row['control_high']:.2g} %, q = {row['q']:.2g})."
        for row in found.beyond.to_dicts()
    ]
    return (f"{found.leading} explains most.", *beyond)


def _interventions(looked: Looked, feature: int, language: str | None, images: int) -> dict[str, Judged]:
    """The feature under each attribute of scenes that can be varied; none in a study of other samples."""
    from core.data.scene_changes import VALUES

    if looked.study.config["data"]["source"] != "scenes":
        return {}
    told, found = looked.language(language), {}
    for attribute in VALUES:
        errors.print(f"[dim]{attribute} is varied[/dim]")
        found[attribute] = run_varied(looked.study, looked.view, feature, Plan((attribute,), (), images, told))
    return judge(found)


def _intervened(runs: dict[str, Judged]) -> Part:
    if not runs:
        return Part("Intervened", ("The samples are no scenes: no attribute of theirs can be varied.",))
    lines = [EFFECT + " q is over all that was varied."]
    lines += [f"{name} ({one.varied.table['image_id'].n_unique()} images): {one.words}." for name, one in runs.items()]
    tables = [one.effects.select(pl.lit(name).alias("varied"), pl.all()) for name, one in runs.items()]
    return Part("Intervened: one attribute is varied, everything else is fixed", tuple(lines), tuple(tables))


def _ablated(looked: Looked, feature: int, model: Any) -> Part:
    from core.causal.one_feature import Size, ablate_feature
    from core.reading.inputs import analysis_inputs

    table = ablate_feature(analysis_inputs(looked.study, lambda: model), looked.view, feature, Size())
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
        f"{row['draws']} matched features {row['control_low']:.2g} to {row['control_high']:.2g}, p = {row['p']:.2g}"
    )
    beyond = row["p"] <= _ALPHA and row["low"] is not None and not row["low"] <= 0 <= row["high"]
    return f"{what} ({beside}): {'an effect' if beyond else 'no more than matched features do'}."
