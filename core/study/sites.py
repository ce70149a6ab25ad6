"""The tensors of a decoder block that a study can capture."""

from typing import Literal

Site = Literal["resid_post", "attn_z", "attn_out", "attn_out_normed", "mlp_out", "mlp_out_normed"]
"""By TransformerLens' and Gemma Scope 2's names where they agree; `docs/activations.md` names each one's tensor."""

STREAM: Site = "resid_post"
"""What blocks hand on: the analyses that change the model's run change it there."""
ADDED: tuple[Site, ...] = ("attn_out_normed", "mlp_out_normed")
"""What a sublayer adds to the stream, so that directions of these sites can be read by the vocabulary head."""
