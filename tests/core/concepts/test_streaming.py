"""SAEs come in order, at most two are alive, and a bad file fails alone."""

import gc
import threading
import weakref
from pathlib import Path

import pytest

from core.concepts.streaming import stream_saes
from core.errors import BadInput
from core.sae.architectures import SparseAutoencoder
from core.sae.formats import Origin, save_sae
from core.sae.pretrained import open_pretrained
from tests.core.sae.dictionary import random_sae


class Loader:
    """Loads by number, and counts what is alive while it does."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[SparseAutoencoder]] = []
        self.most = 0
        self.begun, self.loaded = ([threading.Event() for _ in range(6)] for _ in range(2))

    @property
    def alive(self) -> int:
        gc.collect()
        return sum(found() is not None for found in self.made)

    def __call__(self, number: int) -> SparseAutoencoder:
        self.begun[number].set()
        sae = random_sae(seed=number)
        self.made.append(weakref.ref(sae))
        self.most = max(self.most, self.alive)
        self.loaded[number].set()
        return sae


@pytest.mark.parametrize("count", [0, 1, 2, 6])
def test_saes_come_in_order_and_no_third_is_ever_alive(count: int) -> None:
    load = Loader()
    seen = []
    for streamed in stream_saes(range(count), load, "cpu"):
        seen.append(streamed)
        assert streamed.fault is None
        assert streamed.sae.W_enc.equal(random_sae(seed=streamed.entry).W_enc)
        assert streamed.entry + 1 == count or load.loaded[streamed.entry + 1].wait(timeout=60)
        assert load.alive <= 2
    assert [streamed.entry for streamed in seen] == list(range(count))
    assert load.most == min(count, 2)
    assert load.alive == 0


def test_the_next_one_loads_while_this_one_is_worked_with() -> None:
    load = Loader()
    for streamed in stream_saes(range(3), load, "cpu"):
        following = streamed.entry + 1
        assert following == 3 or load.begun[following].wait(timeout=60)
        assert streamed.entry >= 1 or not load.begun[2].is_set()  # and no further


def test_an_sae_is_let_go_when_the_next_is_asked_for() -> None:
    coming = stream_saes(range(2), Loader(), "cpu")
    first = next(coming)
    next(coming)
    with pytest.raises(BadInput, match="no longer in memory"):
        _ = first.sae


def test_a_bad_file_fails_alone(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("good", "cut", "missing", "other")]
    for folder in folders[:2] + folders[3:]:
        save_sae(random_sae(), folder, Origin("tiny", 0))
    weights = folders[1] / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    found = {one.entry.name: one.fault for one in stream_saes(folders, lambda path: open_pretrained(path, 12), "cpu")}
    assert [name for name, fault in found.items() if fault is None] == ["good", "other"]
    assert found["cut"] is not None and "sae_weights.safetensors: cannot be read" in found["cut"]
    assert found["missing"] is not None


def test_an_error_that_is_no_files_ends_the_stream() -> None:
    def broken(_: int) -> SparseAutoencoder:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(stream_saes([0], broken, "cpu"))


def test_leaving_early_ends_the_thread() -> None:
    load = Loader()
    coming = stream_saes(range(6), load, "cpu")
    next(coming)
    coming.close()
    assert len(load.made) <= 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sae-loader")]
