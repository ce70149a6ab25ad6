"""One thing of a scene is changed, and nothing else is."""

import numpy as np
import pytest

from core.data.scene_changes import VALUES, changed
from core.data.scene_drawing import SceneWorld, boxes, flipped, paint
from core.data.scenes import generate_scenes, study_scenes
from core.errors import BadInput


def test_a_study_s_scenes_are_those_that_it_painted(tmp_path) -> None:
    samples = generate_scenes(tmp_path, num_samples=16, seed=5)
    scenes = study_scenes(16, 5)
    assert list(scenes) == samples["sample_id"].to_list()
    for row in samples.iter_rows(named=True):
        assert scenes[row["sample_id"]].caption("ar").text == row["caption_ar"]


@pytest.mark.parametrize("attribute", sorted(VALUES))
def test_only_what_is_named_changes(attribute: str) -> None:
    scene = next(one for one in study_scenes(16, 5).values() if one.visible == "woman")
    plain = {name: changed(scene, **{name: values[0]}) for name, values in VALUES.items()}
    for value in VALUES[attribute]:
        other = changed(scene, **{attribute: value})
        assert (other.person, other.thing, other.place, other.horizon, other.light) == (
            scene.person,
            scene.thing,
            scene.place,
            scene.horizon,
            scene.light,
        )
        for name, values in VALUES.items():
            if name != attribute:  # what another change gives is the same, so that this one touched nothing of it
                assert changed(other, **{name: values[0]}) == changed(plain[name], **{attribute: value})
    own = {value: changed(scene, **{attribute: value}) for value in VALUES[attribute]}
    assert sum(other == scene for other in own.values()) == 1, "one of the values is the scene's own"


def test_pictures_differ_where_the_changed_thing_is() -> None:
    world, scene = SceneWorld(), next(one for one in study_scenes(16, 5).values() if one.visible == "man")
    other = changed(scene, gender="female")
    assert other == flipped(scene)
    differs = np.argwhere(np.array(paint(scene, world)) != np.array(paint(other, world)))
    left, top, right, bottom = boxes(scene)["person"]
    mine, theirs = (left, top, right, bottom), boxes(other)["person"]
    x0, y0, x1, y1 = (pick(a, b) for pick, a, b in zip((min, min, max, max), mine, theirs))
    assert differs[:, 0].min() >= y0 and differs[:, 0].max() < y1
    assert differs[:, 1].min() >= x0 and differs[:, 1].max() < x1


def test_what_cannot_be_changed_is_told_with_what_can() -> None:
    scene = study_scenes(4, 5)["00000"]
    with pytest.raises(BadInput, match=r"'weather' cannot be changed in a scene; profession, object, .*gender can"):
        changed(scene, weather="rain")
    with pytest.raises(BadInput, match="place of a scene: there is no 'moon'; there are "):
        changed(scene, place="moon")
