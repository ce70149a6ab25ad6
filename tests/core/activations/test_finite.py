import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.activations.finite import finite_rows

SPECIAL = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 3.3e38, -3.3e38, 1e-45]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.one_of(st.sampled_from(SPECIAL), st.floats(width=32)), min_size=1, max_size=12))
def test_rows_are_told_as_isfinite_tells_them(dtype: torch.dtype, values: list[float]) -> None:
    x = torch.tensor(values).repeat(3, 1)
    x[1] = 1.0
    x[2, :-1] = -2.0
    x = x.to(dtype)
    assert torch.equal(finite_rows(x), x.isfinite().all(dim=1))
    assert torch.equal(finite_rows(-x), x.isfinite().all(dim=1))


def test_a_matrix_without_rows_has_no_answers() -> None:
    assert finite_rows(torch.empty(0, 4)).shape == (0,)
