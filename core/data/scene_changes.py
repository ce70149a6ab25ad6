"""A scene of the known-answer world with one thing changed and all else as it was."""

from dataclasses import replace
from typing import Any

from core.data import scene_lexicon as lexicon
from core.data.scene_drawing import Scene
from core.data.scene_lexicon import Gender, Visible
from core.errors import BadInput

_OF_CONTENT: dict[str, tuple[str, dict[str, Any]]] = {
    "profession": ("profession", {one.name: one for one in lexicon.PROFESSIONS}),
    "object": ("thing", {one.name: one for one in lexicon.OBJECTS}),
    "colour": ("colour", {name: name for name in lexicon.COLOURS}),
    "place": ("place", {one.name: one for one in lexicon.PLACES}),
    "mood": ("mood", {one.name: one for one in lexicon.MOODS}),
}
_SHOWING: dict[str, tuple[Visible, Gender]] = {"female": ("woman", "female"), "male": ("man", "male")}
VALUES: dict[str, tuple[str, ...]] = {
    **{name: tuple(values) for name, (_, values) in _OF_CONTENT.items()},
    "skin_tone": lexicon.SKIN_TONES,
    "gender": tuple(_SHOWING),
}
"""What can be changed, and what to. `gender` changes the picture and the caption's words together."""


def changed(scene: Scene, **attributes: str) -> Scene:
    """The scene with other values: `changed(scene, place="beach", gender="female")`.

    What is not named stays: the slots of the sprites, the sky's light, the corner of the place.

    Raises:
        BadInput: there is no such attribute, or it has no such value.
    """
    for name, value in attributes.items():
        if value not in values_of(name):
            raise BadInput(f"{name} of a scene: there is no {value!r}; there are {', '.join(VALUES[name])}")
        if name in _OF_CONTENT:
            field, known = _OF_CONTENT[name]
            scene = replace(scene, content=replace(scene.content, **{field: known[value]}))
        elif name == "gender":
            visible, gender = _SHOWING[value]
            scene = replace(scene, visible=visible, gender=gender)
        else:
            scene = replace(scene, skin_tone=value)
    return scene


def values_of(attribute: str) -> tuple[str, ...]:
    """What an attribute can be changed to.

    Raises:
        BadInput: nothing of that name can be changed.
    """
    if attribute not in VALUES:
        raise BadInput(f"{attribute!r} cannot be changed in a scene; {', '.join(VALUES)} can")
    return VALUES[attribute]
