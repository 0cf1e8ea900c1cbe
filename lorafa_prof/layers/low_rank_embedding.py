"""A frozen embedding with a low-rank adapter beside it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorafa_prof.layers.base_answers import AnswersAsBase
from lorafa_prof.layers.frozen import check_frozen


class LowRankEmbedding(AnswersAsBase):
    """y = E[t] + s · (Aᵀ[t]) Bᵀ for tokens t, with frozen E [tokens, h], A [r, tokens] and B [h, r].

    A model's own factor on its rows (`embed_scale`, as in Gemma) is on both paths, as in PEFT.

    Attributes:
        path: where it is in its model, for messages.

    Args:
        base: the embedding; its parameters are frozen here.
        rank: r.
        scale: s, the factor on the low-rank path.
        dropout: of no effect: its input are numbers of tokens. PEFT's has none either.
        adapter_dtype: type in which A and B are stored.
    """

    path: str = ""

    def __init__(
        self, base: nn.Embedding, *, rank: int, scale: float, dropout: float, adapter_dtype: torch.dtype
    ) -> None:
        super().__init__()
        del dropout
        self.base = base.requires_grad_(False)
        self.rank = rank
        self.scale = scale
        weight = base.weight
        tokens, width = weight.shape
        self.lora_A = nn.Parameter(weight.new_zeros(rank, tokens, dtype=adapter_dtype))
        self.lora_B = nn.Parameter(weight.new_zeros(width, rank, dtype=adapter_dtype))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [...] to [..., h]."""
        y: Tensor = self.base(tokens)
        low = F.embedding(tokens, self.lora_A.t().to(y.dtype), self.base.padding_idx)
        if (factor := getattr(self.base, "embed_scale", None)) is not None:
            low = low * factor
        flat = torch.addmm(
            y.view(-1, y.shape[-1]), low.view(-1, self.rank), self.lora_B.t().to(y.dtype), alpha=self.scale
        )
        return flat.view(y.shape)

    def extra_repr(self) -> str:
        """Return rank and scale as text, for the module's printed form."""
        return f"rank={self.rank}, scale={self.scale:g}"


class LoraEmbedding(LowRankEmbedding):
    """LoRA: A and B train. A is zero and B drawn, as in PEFT."""

    def __init__(
        self, base: nn.Embedding, *, rank: int, scale: float, dropout: float, adapter_dtype: torch.dtype
    ) -> None:
        super().__init__(base, rank=rank, scale=scale, dropout=dropout, adapter_dtype=adapter_dtype)
        nn.init.normal_(self.lora_B)


class LoraFaEmbedding(LowRankEmbedding):
    """LoRA-FA (arXiv 2308.03303): A is frozen, so it is what is drawn, and B is zero and trains."""

    def __init__(
        self, base: nn.Embedding, *, rank: int, scale: float, dropout: float, adapter_dtype: torch.dtype
    ) -> None:
        super().__init__(base, rank=rank, scale=scale, dropout=dropout, adapter_dtype=adapter_dtype)
        nn.init.normal_(self.lora_A)
        self.lora_A.requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [...] to [..., h].

        Raises:
            UsageError: A was thawed.
        """
        check_frozen(self, {"lora_A": self.lora_A})
        return super().forward(tokens)
