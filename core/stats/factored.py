"""A product of two matrices that is never formed: its singular values, rank, entropy and principal components."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import BadInput


class SingularValues(NamedTuple):
    """`U` diag(`S`) `Vh`, the largest singular value first, as torch.linalg.svd gives it with full_matrices=False."""

    U: Float[Tensor, "... l k"]
    S: Float[Tensor, "... k"]
    Vh: Float[Tensor, "... k r"]


class Components(NamedTuple):
    """Principal components: `directions` of unit length, the `variance` along each (divided by rows − 1), its `share`
    of all variance, and the `scores` of each row."""

    directions: Float[Tensor, "... k r"]
    variance: Float[Tensor, "... k"]
    share: Float[Tensor, "... k"]
    scores: Float[Tensor, "... l k"]


@dataclass(frozen=True, eq=False, repr=False)
class FactoredMatrix:
    """The product A · B of `A` [..., l, m] and `B` [..., m, r], kept as its factors.

    What is read of it costs O((l + r) m² + m³) time and O((l + r) m) memory, not O(l r): a circuit of two weights of a
    model has m = d_head or d_model, and l = r = the vocabulary or the features of an SAE. A and B are moved to one
    precision and device. Leading axes are a batch.

    >>> left, right = torch.tensor([[3.0], [4.0], [0.0]]), torch.tensor([[0.0, 2.0]])
    >>> product = FactoredMatrix(left, right)
    >>> product.shape, product.rank, product.S.tolist()
    ((3, 2), 1, [10.0])
    """

    A: Float[Tensor, "... l m"]
    B: Float[Tensor, "... m r"]

    def __post_init__(self) -> None:
        """Raises: BadInput: the factors do not meet."""
        if self.A.ndim < 2 or self.B.ndim < 2 or self.A.shape[-1] != self.B.shape[-2]:
            shapes = f"{list(self.A.shape)} and {list(self.B.shape)}"
            raise BadInput(f"a factored matrix: {shapes} are no [..., l, m] and [..., m, r]")
        dtype = torch.promote_types(self.A.dtype, self.B.dtype)
        dtype = dtype if dtype in (torch.float32, torch.float64) else torch.float32  # no decomposition of others
        object.__setattr__(self, "A", self.A.detach().to(dtype))
        object.__setattr__(self, "B", self.B.detach().to(self.A.device, dtype))

    @property
    def shape(self) -> tuple[int, ...]:
        """The product's shape."""
        batch = torch.broadcast_shapes(self.A.shape[:-2], self.B.shape[:-2])  # type: ignore[no-untyped-call]
        return (*batch, self.A.shape[-2], self.B.shape[-1])

    @property
    def AB(self) -> Float[Tensor, "... l r"]:
        """The product itself, formed."""
        return self.A @ self.B

    @property
    def T(self) -> "FactoredMatrix":
        """The transposed product."""
        return FactoredMatrix(self.B.mT, self.A.mT)

    def __getitem__(self, index: int | slice | tuple[int | slice, ...]) -> "FactoredMatrix":
        """Some of a batch, by its leading axes: `ov[3]` of a layer's heads is one head's.

        Raises:
            BadInput: there is no batch, or not as many axes.
        """
        axes = len(self.shape) - 2
        if len(index if isinstance(index, tuple) else (index,)) > axes:
            raise BadInput(
                f"a factored matrix of shape {list(self.shape)} is indexed by {axes} leading axes; form it, .AB"
            )
        batch = self.shape[:-2]
        return FactoredMatrix(
            self.A.expand(*batch, *self.A.shape[-2:])[index], self.B.expand(*batch, *self.B.shape[-2:])[index]
        )

    def __matmul__(self, other: "FactoredMatrix | Tensor") -> "FactoredMatrix":
        """The product with another matrix, kept as factors on the narrower side."""
        if isinstance(other, Tensor):
            return FactoredMatrix(self.A, self.B @ other.to(self.B))
        between = self.B @ other.A.to(self.B)
        if self.A.shape[-1] <= other.B.shape[-2]:
            return FactoredMatrix(self.A, between @ other.B.to(self.B))
        return FactoredMatrix(self.A @ between, other.B)

    @cached_property
    def svd(self) -> SingularValues:
        """The singular value decomposition, through QR of both factors: A = Q_A R_A and Bᵀ = Q_B R_B, so that
        A B = Q_A (R_A R_Bᵀ) Q_Bᵀ, whose middle is small."""
        left, upper = torch.linalg.qr(self.A)
        right, lower = torch.linalg.qr(self.B.mT)
        inner, values, other = torch.linalg.svd(upper @ lower.mT, full_matrices=False)
        return SingularValues(left @ inner, values, other @ right.mT)

    @property
    def U(self) -> Float[Tensor, "... l k"]:
        """Left singular vectors, as columns."""
        return self.svd.U

    @property
    def S(self) -> Float[Tensor, "... k"]:
        """Singular values, the largest first; k = min(l, m, r)."""
        return self.svd.S

    @property
    def Vh(self) -> Float[Tensor, "... k r"]:
        """Right singular vectors, as rows."""
        return self.svd.Vh

    @property
    def norm(self) -> Float[Tensor, "..."]:
        """The Frobenius norm."""
        found: Tensor = torch.linalg.vector_norm(self.S, dim=-1)
        return found

    @property
    def rank(self) -> int:
        """How many singular values are above the largest · max(l, r) · eps (numpy.linalg.matrix_rank's rule); of a
        batch, the largest rank in it."""
        floor = self.S[..., :1] * max(self.shape[-2:]) * torch.finfo(self.S.dtype).eps
        return int((floor < self.S).sum(dim=-1).max())

    @property
    def proportions(self) -> Float[Tensor, "... k"]:
        """p_i = σ_i / Σσ; 0 for a product of zeros."""
        return self.S / self.S.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(self.S.dtype).tiny)

    @property
    def entropy(self) -> Float[Tensor, "..."]:
        """Shannon entropy of the proportions, H = −Σ p_i ln p_i, in nats."""
        terms: Tensor = torch.special.entr(self.proportions)
        return terms.sum(dim=-1)

    @property
    def effective_rank(self) -> Float[Tensor, "..."]:
        """e^H (Roy & Vetterli 2007): k for k equal singular values, 1 for a single one."""
        return self.entropy.exp()

    @cached_property
    def eigenvalues(self) -> Float[Tensor, "... m"]:
        """The m eigenvalues of B A, complex: those of A B but for zeros.

        Raises:
            BadInput: the product is not square.
        """
        if self.shape[-1] != self.shape[-2]:
            raise BadInput(f"a factored matrix of shape {list(self.shape)} has no eigenvalues; it is not square")
        found: Tensor = torch.linalg.eigvals(self.B @ self.A)
        return found

    def pca(self) -> Components:
        """Principal components of the product's rows: the decomposition of the product with centred columns, which is
        (A − its mean row) · B."""
        centred = FactoredMatrix(self.A - self.A.mean(dim=-2, keepdim=True), self.B)
        variance = centred.S.square() / max(1, self.shape[-2] - 1)
        share = variance / variance.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(variance.dtype).tiny)
        return Components(centred.Vh, variance, share, centred.U * centred.S.unsqueeze(-2))

    def __repr__(self) -> str:
        return f"<factored matrix {list(self.shape)} through {self.A.shape[-1]}>"
