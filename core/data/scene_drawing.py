"""One scene of the known-answer world: drawn from a seed, painted from sprites, flipped to the other gender."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from core.data import scene_lexicon as lexicon
from core.data.languages import Language
from core.data.scene_captions import CORNERS, Caption, Content, caption
from core.data.scene_lexicon import Gender, Visible
from core.data.scene_sprites import sprite

Stream = Literal["study", "training"]
_STREAM_KEY: dict[Stream, int] = {"study": 1, "training": 0}
_RATES_KEY = 2
_GENDER_SHOWN: dict[Visible, Gender] = {"woman": "female", "man": "male"}
_SPRITE_SHOWING: dict[Gender, Visible] = {"female": "woman", "male": "man"}


@dataclass(frozen=True)
class SceneWorld:
    """The world's constants; two studies share them, whatever their seeds."""

    side: int = 96
    """Width and height of a picture in pixels."""
    person_sides: tuple[int, ...] = (44, 48, 52)
    """The person's possible sizes (longer side, pixels)."""
    object_sides: tuple[int, ...] = (24, 26, 28)
    """The object's possible sizes."""
    place_sides: tuple[int, ...] = (28, 30, 32)
    """The place's possible sizes."""
    corner_jitter: int = 6
    """The most pixels between the place and the edges of its corner."""
    neutral_share: float = 0.2
    """The share of people who show no gender; the others are women and men in equal parts."""
    lowest_rate: float = 0.05
    """The lowest P(female | profession) of the captions of neutral people."""
    highest_rate: float = 0.95
    """The highest of these rates; the grid between them is even."""
    rate_seed: int = 20
    """Shuffles the grid of rates over the professions. Not a study's seed: the captioner learned these very rates."""

    def female_rates(self) -> dict[str, float]:
        """Return P(female | profession) for neutral people, by profession."""
        names = [profession.name for profession in lexicon.PROFESSIONS]
        grid = np.linspace(self.lowest_rate, self.highest_rate, len(names)).round(4)
        shuffled = np.random.default_rng([_RATES_KEY, self.rate_seed]).permutation(grid)
        return dict(zip(names, shuffled.tolist(), strict=True))


class Slot(NamedTuple):
    """A square that a sprite stands in; sprites that differ in shape share a slot, so that twins differ in one."""

    x: int
    y: int
    side: int

    def overlaps(self, other: "Slot") -> bool:
        """Say whether the two squares share a pixel."""
        apart_x = self.x + self.side <= other.x or other.x + other.side <= self.x
        apart_y = self.y + self.side <= other.y or other.y + other.side <= self.y
        return not (apart_x or apart_y)


@dataclass(frozen=True)
class Scene:
    """Everything that a picture and its captions are made from."""

    content: Content
    visible: Visible
    gender: Gender
    skin_tone: str
    person: Slot
    thing: Slot
    place: Slot
    horizon: int
    light: float

    @property
    def place_first(self) -> bool:
        """A place in the upper half opens the caption."""
        return self.content.corner.startswith("upper")

    def sprites(self) -> dict[str, tuple[str, Slot]]:
        """Return each sprite's name and slot, by role, in painting order."""
        content = self.content
        return {
            "place": (f"place/{content.place.name}", self.place),
            "object": (f"object/{content.thing.name}/{content.colour}", self.thing),
            "person": (f"person/{content.profession.name}/{self.visible}/{self.skin_tone}", self.person),
        }

    def caption(self, language: Language) -> Caption:
        """Return the caption in one language."""
        return caption(self.content, self.gender, language)


def flipped(scene: Scene) -> Scene:
    """Return the twin: the other gender's sprite and words; a neutral person keeps the sprite, only the words flip."""
    gender: Gender = "male" if scene.gender == "female" else "female"
    visible: Visible = "neutral" if scene.visible == "neutral" else _SPRITE_SHOWING[gender]
    return replace(scene, gender=gender, visible=visible)


def boxes(scene: Scene) -> dict[str, list[int]]:
    """Return the pixel box `[x0, y0, x1, y1]` of each sprite, by role."""
    return {role: list(_placed(name, slot)[1]) for role, (name, slot) in scene.sprites().items()}


def paint(scene: Scene, world: SceneWorld) -> Image.Image:
    """Compose the picture."""
    picture = Image.fromarray(_background(scene, world))
    for name, slot in scene.sprites().values():
        art, box = _placed(name, slot)
        picture.paste(art, box[:2], art)
    return picture


def draw_scenes(kinds: list[Visible], *, seed: int, stream: Stream, world: SceneWorld | None = None) -> Iterator[Scene]:
    """Draw one scene for each kind of person; a scene depends on its index, the seed and the stream only.

    The two streams never share a scene: in a training scene the person's x + y is even, in a study's it is odd.
    """
    world = world or SceneWorld()
    rates = world.female_rates()
    for index, visible in enumerate(kinds):
        rng = np.random.default_rng([_STREAM_KEY[stream], seed, index])
        yield _draw(rng, visible, rates, world, _STREAM_KEY[stream])


def _draw(rng: np.random.Generator, visible: Visible, rates: dict[str, float], world: SceneWorld, parity: int) -> Scene:
    content = _draw_content(rng)
    female = rng.random() < rates[content.profession.name]
    gender: Gender = _GENDER_SHOWN.get(visible, "female" if female else "male")
    skin_tone = lexicon.SKIN_TONES[rng.integers(len(lexicon.SKIN_TONES))]
    place, person, thing = _draw_slots(rng, content.corner, world, parity)
    horizon, light = int(rng.integers(56, 73)), float(rng.uniform(0.94, 1.04))
    return Scene(content, visible, gender, skin_tone, person, thing, place, horizon, light)


def _draw_content(rng: np.random.Generator) -> Content:
    colours = list(lexicon.COLOURS)
    return Content(
        profession=lexicon.PROFESSIONS[rng.integers(len(lexicon.PROFESSIONS))],
        thing=lexicon.OBJECTS[rng.integers(len(lexicon.OBJECTS))],
        colour=colours[rng.integers(len(colours))],
        place=lexicon.PLACES[rng.integers(len(lexicon.PLACES))],
        mood=lexicon.MOODS[rng.integers(len(lexicon.MOODS))],
        corner=CORNERS[rng.integers(len(CORNERS))],
    )


def _draw_slots(rng: np.random.Generator, corner: str, world: SceneWorld, parity: int) -> tuple[Slot, Slot, Slot]:
    """Draw the place into its corner, then person and object until nothing overlaps."""
    side = int(rng.choice(world.place_sides))
    near_x, near_y = (int(offset) for offset in rng.integers(world.corner_jitter + 1, size=2))
    far_x, far_y = world.side - side - near_x, world.side - side - near_y
    place = Slot(near_x if "left" in corner else far_x, near_y if "upper" in corner else far_y, side)
    while True:
        person = _anywhere(rng, world.person_sides, world.side)
        if (person.x + person.y) % 2 != parity or person.overlaps(place):
            continue
        for _ in range(20):
            thing = _anywhere(rng, world.object_sides, world.side)
            if not (thing.overlaps(place) or thing.overlaps(person)):
                return place, person, thing


def _anywhere(rng: np.random.Generator, sides: tuple[int, ...], room: int) -> Slot:
    side = int(rng.choice(sides))
    x, y = rng.integers(room - side + 1, size=2)
    return Slot(int(x), int(y), side)


def _placed(name: str, slot: Slot) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Stand the sprite in the middle of its slot's floor; return it with its box."""
    art = sprite(name, slot.side)
    x, y = slot.x + (slot.side - art.width) // 2, slot.y + slot.side - art.height
    return art, (x, y, x + art.width, y + art.height)


def _background(scene: Scene, world: SceneWorld) -> np.ndarray:
    """The mood's sky above the place's ground, which the sky's light dims."""
    sky = np.array(scene.content.mood.sky, dtype=np.float64)
    ground = np.array(scene.content.place.ground, dtype=np.float64) * (0.5 + 0.5 * sky.mean() / 255)
    rows = np.where(np.arange(world.side)[:, None] < scene.horizon, sky, ground) * scene.light
    shaded = np.clip(rows, 0, 255).round().astype(np.uint8)
    return np.repeat(shaded[:, None, :], world.side, axis=1)
