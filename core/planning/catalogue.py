"""Every unit of a feature catalogue, with its fingerprint, before any of it runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from core.errors import BadInput
from core.explain.chosen import CatalogueSAE
from core.explain.named import FROZEN, explainer_prompts, scorer_prompts, scores_by_embedding
from core.planning.catalogue_answering import DECIDES, answering, convert_model, embedding
from core.planning.catalogue_sources import CatalogueSources
from core.planning.naming import Inputs
from core.planning.staged import StagedPlan, in_stages
from core.store.steps import (
    COLLECT_EXAMPLES,
    EMBED_EXAMPLES,
    EMBED_EXPLANATIONS,
    EMBED_SCORED,
    EXPLAIN_FEATURES,
    EXPLAIN_LOCALLY,
    PUBLISH_CATALOGUE,
    REPORT_CATALOGUE,
    SCORE_EXPLANATIONS,
    SCORE_LOCALLY,
)
from core.store.units import Unit
from core.study import variant as names
from core.study.catalogue import CatalogueConfig, Explainer, Scorer


@dataclass(frozen=True)
class CataloguePlan(StagedPlan):
    """Every unit of a catalogue."""

    config: CatalogueConfig

    @property
    def key(self) -> str:
        """The catalogue's name and a part of its tables' fingerprint."""
        return f"{self.config.folder}-{self.tables.artifact.fingerprint[:8]}"

    @property
    def name(self) -> str:
        """What it is published as, below `catalogues` in the workspace."""
        return names.folder({"name": self.config.name, "variant": self.config.variant})

    @property
    def tables(self) -> Unit:
        """The unit that publishes the tables."""
        return self.stage(PUBLISH_CATALOGUE)[0]

    @property
    def report(self) -> Unit:
        """The last unit."""
        return self.stage(REPORT_CATALOGUE)[0]

    def record(self) -> dict[str, Any]:
        """What the workspace remembers of the catalogue."""
        return {
            "catalogue": self.config.model_dump(mode="json"),
            "name": self.name,
            "artifacts": self.artifacts,
            "tables": self.tables.artifact.ref,
            "report": self.report.artifact.ref,
        }


@dataclass(frozen=True)
class _Block:
    """Chosen features of an SAE whose numbers are close, and the unit that collects their examples."""

    sae: CatalogueSAE
    name: str
    features: tuple[int, ...]
    examples: Unit

    @property
    def recipe(self) -> dict[str, Any]:
        """What the recipes of all its units begin with."""
        return {"sae_id": self.sae.sae_id, "features": list(self.features)}

    @property
    def inputs(self) -> Inputs:
        """What its features are explained and scored from."""
        return {"examples": (self.examples.artifact,), **_given(self.sae, "samples", "shards")}


def plan_catalogue(config: CatalogueConfig, sources: CatalogueSources) -> CataloguePlan:
    """Name every unit of the catalogue.

    Raises:
        BadInput: an explainer needs what is not known of an SAE.
    """
    made = _Catalogue(config, sources)
    blocks = [block for sae in sources.saes for block in made.blocks(sae)]
    said = [(block, made.explained(block, explainer)) for explainer in config.explainers for block in blocks]
    roles = {"examples": [block.examples for block in blocks], "explanations": [unit for _, unit in said]}
    for name in config.embedders:
        roles[f"examples in {name}"] = [made.embedded_examples(block, name) for block in blocks]
        roles[f"explanations in {name}"] = [made.embedded_explanations(unit, name) for _, unit in said]
    texts = made.embedded_texts(blocks)
    roles["scores"] = [made.scored(block, unit, scorer) for scorer in config.scorers for block, unit in said]
    tables = made.tables(roles)
    before = [*made.converted(), *chain.from_iterable(roles[role] for role in roles if role != "scores"), *texts]
    units = [*before, *roles["scores"], tables, made.report(tables)]
    return CataloguePlan(in_stages(units), config)


@dataclass(frozen=True)
class _Catalogue:
    """A catalogue whose units are being named."""

    config: CatalogueConfig
    sources: CatalogueSources

    def converted(self) -> Iterator[Unit]:
        """A unit for each local model that comes as a package."""
        for model in self.sources.models:
            if (unit := convert_model(self.sources, model)) is not None:
                yield unit

    def blocks(self, sae: CatalogueSAE) -> Iterator[_Block]:
        """The chosen features of an SAE by blocks of feature numbers."""
        of: dict[int, list[int]] = {}
        for feature in sae.features:
            of.setdefault(feature // self.config.block, []).append(feature)
        frozen = FROZEN if sae.sae_id.endswith(FROZEN) else ""
        called = f"{sae.layer}{frozen}" if sae.table is None else sae.sae_id.replace("/", "-")
        table = {} if sae.table is None else {"table": sae.table.content}
        knobs = {} if sae.table is None else {"files": {"table": str(sae.table.file)}}
        inputs = _given(sae, "samples", "shards", "layer", "index")
        for number, features in sorted(of.items()):
            name = f"{called}-{number:03d}"
            recipe: dict[str, Any] = {"sae_id": sae.sae_id, "layer": sae.layer, "features": features, **table}
            recipe["examples"] = self.config.examples.model_dump(mode="json")
            yield _Block(sae, name, tuple(features), COLLECT_EXAMPLES.unit(name, recipe, inputs, knobs))

    def explained(self, block: _Block, explainer: Explainer) -> Unit:
        """What one explainer says of a block."""
        asked = answering(self.config, self.sources, explainer.profile, explainer.model)
        promoted: Inputs = {}
        if "promoted" in (explainer.kind, explainer.of):
            if not block.sae.promotes:
                raise _not_known(explainer, block.sae)
            promoted = {"described": block.sae.inputs["described"]}
        recipe = {
            **block.recipe,
            "explainer": explainer.model_dump(mode="json", exclude={"profile", "model"}),
            "prompts": list(explainer_prompts(explainer)),
            "asked": asked.recipe,
            "seed": self.config.examples.seed,
        }
        step = EXPLAIN_LOCALLY if asked.local else EXPLAIN_FEATURES
        inputs = {**block.inputs, **promoted, **asked.inputs}
        return step.unit(f"{block.name}-{explainer.name}", recipe, inputs, {"asked": asked.knobs})

    def embedded_examples(self, block: _Block, embedder: str) -> Unit:
        """The embeddings of a block's examples."""
        by = embedding(self.config, self.sources, embedder)
        inputs = {"examples": (block.examples.artifact,)}
        return EMBED_EXAMPLES.unit(f"{block.name}-{embedder}", {"embedder": by.recipe}, inputs, {"embedder": by.knobs})

    def embedded_explanations(self, explained: Unit, embedder: str) -> Unit:
        """The embeddings of what an explainer said of a block."""
        by = embedding(self.config, self.sources, embedder)
        inputs, knobs = {"explanations": (explained.artifact,)}, {"embedder": by.knobs}
        return EMBED_EXPLANATIONS.unit(f"{explained.name}-{embedder}", {"embedder": by.recipe}, inputs, knobs)

    def embedded_texts(self, blocks: Sequence[_Block]) -> list[Unit]:
        """The embeddings of what scorers compare with explanations; none where no scorer compares embeddings."""
        by_embedding = any(map(scores_by_embedding, self.config.scorers))
        return [self._texts(block) for block in blocks] if by_embedding else []

    def _texts(self, block: _Block) -> Unit:
        first = next(iter(self.config.embedders))
        by = embedding(self.config, self.sources, first)
        twins = any(one.kind == "twins" and scores_by_embedding(one) for one in self.config.scorers)
        recipe = {**block.recipe, "embedder": by.recipe, "twins": twins, "seed": self.config.examples.seed}
        return EMBED_SCORED.unit(f"{block.name}-{first}", recipe, block.inputs, {"embedder": by.knobs})

    def scored(self, block: _Block, explained: Unit, scorer: Scorer) -> Unit:
        """How one scorer scores what one explainer said of a block."""
        by_embedding = scores_by_embedding(scorer)
        if scorer.kind == "twins" and block.sae.table is not None:
            raise BadInput(f"scorers: {scorer.name}: a table of examples names no twins; leave this scorer out")
        first = next(iter(self.config.embedders))
        if by_embedding:
            judge = embedding(self.config, self.sources, first)
        else:
            judge = answering(self.config, self.sources, scorer.profile, scorer.model)
        recipe = {
            **block.recipe,
            "scorer": scorer.model_dump(mode="json", exclude={"profile", "model"}),
            "prompts": list(scorer_prompts(scorer)),
            "embedder" if by_embedding else "asked": judge.recipe,
            "seed": self.config.examples.seed,
            "bootstrap": self.config.bootstrap,
        }
        step = SCORE_LOCALLY if judge.local and not by_embedding else SCORE_EXPLANATIONS
        inputs = {**block.inputs, "explanations": (explained.artifact,), **judge.inputs}
        if by_embedding:
            inputs["vectors of texts"] = (self._texts(block).artifact,)
            inputs["vectors of explanations"] = (self.embedded_explanations(explained, first).artifact,)
        knobs = {"embedder" if by_embedding else "asked": judge.knobs}
        return step.unit(f"{explained.name}-{scorer.name}", recipe, inputs, knobs)

    def tables(self, roles: Mapping[str, Sequence[Unit]]) -> Unit:
        """The unit that publishes all tables together."""
        config, saes = self.config, [sae for sae in self.sources.saes if sae.features and sae.table is None]
        recipe = {
            "saes": [sae.sae_id for sae in saes],
            "kinds": {scorer.name: scorer.kind for scorer in config.scorers},
            "embedders": [{"name": name, "int8": one.int8} for name, one in config.embedders.items()],
            "seed": config.examples.seed,
            "bootstrap": config.bootstrap,
        }
        inputs = {role: tuple(unit.artifact for unit in units) for role, units in roles.items()}
        of_saes = {role: tuple(sae.inputs[role][0] for sae in saes) for role in ("index", "sae")}
        return PUBLISH_CATALOGUE.unit("", recipe, {**inputs, **of_saes})

    def report(self, tables: Unit) -> Unit:
        """The report on the tables."""
        told = self.config.model_dump(mode="json", exclude={"tracking", "block", "profiles"})
        told["profiles"] = {
            name: profile.model_dump(mode="json", include=DECIDES) for name, profile in self.config.profiles.items()
        }
        samples = self.sources.saes[0].inputs.get("samples", ())
        return REPORT_CATALOGUE.unit("", {"catalogue": told}, {"tables": (tables.artifact,), "samples": samples})


def _given(sae: CatalogueSAE, *roles: str) -> Inputs:
    """Its inputs in these roles; none of an SAE whose examples come from a table."""
    return {role: sae.inputs[role] for role in roles if role in sae.inputs}


def _not_known(explainer: Explainer, sae: CatalogueSAE) -> BadInput:
    """What features promote is not known: not yet, or never."""
    words = f"explainers: {explainer.name}: what the features of {sae.sae_id} promote is not known"
    if sae.table is not None:
        return BadInput(f"{words} from a table of examples; leave this explainer out")
    if "described" not in sae.inputs:
        return BadInput(f"{words} yet; run the study again, which describes them, or leave this explainer out")
    return BadInput(f"{words}: no vocabulary head reads them; leave this explainer out")
