"""Drafted sentences before a person, who keeps, changes or refuses each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cli.terminal import console
from core.chat.sending import Sender
from core.concepts.drafting import PROMPT_VERSION, Draft, Parsed, draft_prompt, is_usable, parse_drafts
from core.concepts.families import LABELS
from core.concepts.near_duplicates import Known, same_text
from core.concepts.sentence_file import SentenceFile
from core.study.scan import ConceptConfig

PER_REQUEST = 4
"""Scenes in one question."""
_BARREN = 3
"""Answers in a row without anything new after which no further question is put."""


class _Quit(Exception):
    """The person has had enough."""


@dataclass
class Tally:
    """What became of the drafts."""

    accepted: int = 0
    refused: int = 0
    near_duplicates: int = 0
    malformed: int = 0

    @property
    def words(self) -> str:
        """The counts in one line."""
        return (
            f"accepted {self.accepted}, refused {self.refused}, "
            f"near-duplicates removed {self.near_duplicates}, malformed parts skipped {self.malformed}"
        )


class Session:
    """One sitting: `ask` puts a question to the person and returns what was typed."""

    def __init__(self, concept: ConceptConfig, file: SentenceFile, chat: Sender, ask: Callable[[str], str]) -> None:
        """Know what the file holds already."""
        self.tally = Tally()
        self._concept = concept
        self._file = file
        self._chat = chat
        self._ask = ask
        self._known = Known(file.texts)

    def run(self, scenes: int) -> None:
        """Draft so many scenes and show every sentence; what is accepted is on the disk at once.

        Raises:
            BadInput: the endpoint refuses, or does not answer.
        """
        shown, barren = 0, 0
        try:
            while shown < scenes and barren < _BARREN:
                before = self.tally.accepted + self.tally.refused
                for scene in self._drafted(min(PER_REQUEST, scenes - shown)).scenes[: scenes - shown]:
                    shown += self._review(scene)
                barren = 0 if self.tally.accepted + self.tally.refused > before else barren + 1
        except (_Quit, EOFError):
            return
        if barren == _BARREN:
            console.print(f"  {_BARREN} answers in a row held nothing new: stopped; try another model")

    def _drafted(self, scenes: int) -> Parsed:
        answer = self._chat.ask(draft_prompt(self._concept, scenes, self._file.families)).text
        parsed = Parsed([], 1) if answer is None else parse_drafts(answer, self._file.families)
        self.tally.malformed += parsed.malformed
        return parsed

    def _review(self, scene: list[Draft]) -> bool:
        """Show a scene's new sentences; whether there were any. Sentences of one scene may be close, but not equal."""
        here: set[str] = set()
        seen: list[str] = []
        try:
            for draft in scene:
                if self._known.has(draft.text) or same_text(draft.text) in here:
                    self.tally.near_duplicates += 1
                    continue
                seen.append(draft.text)
                kept = self._decide(draft, here)
                here.add(same_text(kept.text if kept is not None else draft.text))
                if kept is not None and kept.text != draft.text:
                    seen.append(kept.text)
        finally:
            for text in seen:
                self._known.add(text)
        return bool(seen)

    def _decide(self, draft: Draft, here: set[str]) -> Draft | None:
        console.print(f"\n  label {draft.label} · {draft.family}\n  {draft.text}", markup=False)
        while True:
            match self._ask("  keep it? y(es), n(o), e(dit), q(uit): ").strip().lower():
                case "y" | "yes":
                    return self._accept(draft, "accepted")
                case "n" | "no":
                    self.tally.refused += 1
                    return None
                case "e" | "edit":
                    return self._edit(draft, here)
                case "q" | "quit":
                    raise _Quit

    def _edit(self, draft: Draft, here: set[str]) -> Draft:
        while True:
            text = " ".join(self._ask("  sentence (empty: as it is): ").split()) or draft.text
            if is_usable(text) and not self._known.has(text) and same_text(text) not in here:
                break
            console.print("  empty, not writable, or nearly the same as one that is there; write another")
        labels = {"": draft.label} | {str(label): label for label in LABELS}
        while (label := labels.get(self._ask(f"  label (empty: {draft.label}): ").strip())) is None:
            console.print("  0, 1, 2 or 3")
        changed = Draft(text, label, draft.family)
        return self._accept(changed, "accepted" if changed == draft else "edited")

    def _accept(self, draft: Draft, how: str) -> Draft:
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        drafted = f"drafted by {self._chat.line.model} at {self._chat.line.host}, prompt {PROMPT_VERSION}, {when}"
        self._file.append(draft, f"{drafted}; {how} by a person")
        self.tally.accepted += 1
        return draft
