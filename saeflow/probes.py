"""Probes: how well a column of labels is read off rows, beside what chance and memorised words give.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> rows, place = rng.normal(size=(200, 30)), rng.choice(["park", "kitchen"], size=200)
>>> rows[:, 7] += 2 * (place == "park")  # one dimension knows
>>> task = ProbeTask(rows, place, images=np.arange(200) // 2)
>>> linear(task).auroc.mean > 0.8
True
>>> few = sparse(task, ks=(1, 5))
>>> few[1].probes[0].features
(7,)
"""

from core.stats.probe_task import ProbeTask as ProbeTask
from core.stats.probing import ClassProbe as ClassProbe
from core.stats.probing import ProbeResult as ProbeResult
from core.stats.probing import linear_probe as linear
from core.stats.probing import sparse_probes as sparse

__all__ = ["ClassProbe", "ProbeResult", "ProbeTask", "linear", "sparse"]
