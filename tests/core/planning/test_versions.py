from core.planning.steps import STEPS
from core.planning.versions import changed_steps, closure, digest
from core.store.steps import StepSpec


def test_no_step_changed_without_its_version() -> None:
    assert changed_steps() == [], (
        "bump these steps' versions where they are declared and run `python -m core.planning.versions --record`, "
        "or record why the result is the same: `python -m core.planning.versions --same-result STEP 'why'`"
    )


def test_the_closure_follows_imports_within_core() -> None:
    reached = closure(("core.planning.graph",))
    assert {"core.planning.graph", "core.store.artifacts", "core.planning.steps", "core.study.layers"} <= set(reached)
    assert all(name.startswith("core") for name in reached)


def test_every_step_names_modules_that_exist() -> None:
    for spec in STEPS.values():
        for root in spec.roots:
            assert root in closure((root,)), f"{spec.name}: {root} does not exist"


def test_the_digest_ignores_comments_and_sees_code(tmp_path, monkeypatch) -> None:
    import core.planning.versions as versions

    (tmp_path / "core").mkdir()
    file = tmp_path / "core" / "thing.py"
    monkeypatch.setattr(versions, "_PROJECT", tmp_path)
    spec = StepSpec("thing", 1, "cpu", ("core.thing",))
    file.write_text('"""Doc."""\nX = 1  # one\n')
    first = digest(spec)
    file.write_text('"""Another."""\n\nX = 1\n')
    assert digest(spec) == first
    file.write_text('"""Doc."""\nX = 2\n')
    assert digest(spec) != first
