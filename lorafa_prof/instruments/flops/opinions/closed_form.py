"""A third opinion on FLOPs: closed formulas of the shapes, exact for the products of each module of a step.

A multiply and an add are 2. A product with a weight costs 2 per token and weight, and so does each of its two
gradients, as far as anyone asks for it: that of the weight if it trains, that of the input if something
before it trains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, cast

from torch import Tensor, nn

from lorafa_prof.layers.low_rank_linear import LowRankLinear, in_by_out, is_linear
from lorafa_prof.words.module_paths import like_modules

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Products(NamedTuple):
    """FLOPs of the products of one module, in forward and in backward."""

    forward: int
    backward: int


@dataclass(frozen=True)
class ClosedForm:
    """FLOPs of the matrix products of a step of a decoder.

    Attributes:
        by_module: those of each module itself, not of its children; an adapted layer has its adapter's too.
        adapters: the part of a module's forward that its adapter takes.
        two_n: 2 · tokens · N, with the N weights of all linear layers, without adapters.
    """

    by_module: Mapping[str, Products]
    adapters: Mapping[str, int]
    two_n: int

    @property
    def forward(self) -> int:
        """FLOPs of forward: 2N, and those of the adapters, of attention and of the rotary table."""
        return sum(products.forward for products in self.by_module.values())

    @property
    def backward(self) -> int:
        """FLOPs of backward: 4N with every weight training, 2N and the adapters' with a frozen base."""
        return sum(products.backward for products in self.by_module.values())


@dataclass(frozen=True)
class _Part:
    """Numbers of weights, and whether they train."""

    weights: int = 0
    trains: bool = False


@dataclass(frozen=True)
class _Layer:
    """A linear layer, with an adapter or without."""

    path: str
    width: int
    base: _Part
    a: _Part = _Part()
    b: _Part = _Part()

    @property
    def parent(self) -> str:
        return self.path.rpartition(".")[0]

    @property
    def trains(self) -> bool:
        return self.base.trains or self.a.trains or self.b.trains

    def products(self, tokens: int, gradient: bool) -> Products:
        """Return its FLOPs if the gradient of its input is asked for, or is not."""
        backward = self.base.weights * (gradient + self.base.trains)
        backward += self.a.weights * (gradient + self.a.trains)
        backward += self.b.weights * ((gradient or self.a.trains) + self.b.trains)
        forward = self.base.weights + self.a.weights + self.b.weights
        return Products(2 * tokens * forward, 2 * tokens * backward)


def closed_form(
    model: PreTrainedModel, batch: int, seq: int, *, fused: bool = False, gradient: bool = False
) -> ClosedForm:
    """Return the formulas for a causal language model whose blocks are attention and MLP in turn.

    It trains as a whole, or by low-rank adapters on any of its linear layers, this package's or PEFT's.

    Args:
        model: ready to train; its values are not looked at.
        batch, seq: sequences, and tokens of each.
        fused: whether attention keeps no scores and forms them again in backward.
        gradient: whether the gradient of the embeddings' output is asked for though nothing before it trains.

    Raises:
        ValueError: its first linear layers are not the queries, keys and values of a first block.
    """
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    layers = list(_linears(model))
    readers = _leading(layers, config.hidden_size * head_dim * (heads + 2 * groups))
    attention = like_modules(layers[0].parent)
    embeddings = model.get_input_embeddings().parameters()
    gradient = gradient or any(parameter.requires_grad for parameter in embeddings)

    tokens = batch * seq
    found: dict[str, Products] = dict(_rotary(model, seq))
    for parent, members in groupby(layers, key=lambda layer: layer.parent):
        several = list(members)
        is_attention = like_modules(parent) == attention
        count = readers if is_attention else sum(layer.width == several[0].width for layer in several)
        found |= {layer.path: layer.products(tokens, gradient) for layer in several[:count]}
        outputs = [gradient or layer.trains for layer in several[:count]]
        if is_attention:
            found[parent] = _attention(2 * tokens * seq * heads * head_dim, outputs, fused)
        gradient = any(outputs)
        for layer in several[count:]:
            found[layer.path] = layer.products(tokens, gradient)
            gradient = gradient or layer.trains
    return ClosedForm(
        by_module=found,
        adapters={layer.path: 2 * tokens * (layer.a.weights + layer.b.weights) for layer in layers},
        two_n=2 * tokens * sum(layer.base.weights for layer in layers),
    )


def _attention(product: int, gradients: Sequence[bool], fused: bool) -> Products:
    """Return attention's FLOPs: two products in forward, and in backward two for each of them.

    A fused kernel always does all of them, and forms the scores once more.

    Args:
        product: FLOPs of one product, of every query with all keys.
        gradients: whether those of queries, keys and values are asked for; one for all if they are one layer.
        fused: whether a fused kernel does it.
    """
    queries, keys, values = gradients if len(gradients) == 3 else [any(gradients)] * 3
    if fused:
        return Products(2 * product, 5 * product * (queries or keys or values))
    return Products(2 * product, product * (values + (queries or keys) + queries + keys))


def _rotary(model: nn.Module, seq: int) -> Iterator[tuple[str, Products]]:
    """Yield the product of positions and frequencies: once, whatever the batch, without a gradient."""
    for path, module in model.named_modules():
        own = module.named_buffers(recurse=False)
        frequencies = sum(buffer.numel() for name, buffer in own if name == "inv_freq")
        if frequencies:
            yield path, Products(2 * seq * frequencies, 0)


def _linears(model: nn.Module) -> Iterator[_Layer]:
    """Yield adapted and plain linear layers in the order in which the model defines them."""
    inside: set[nn.Module] = set()
    for path, module in model.named_modules():
        if module in inside:
            continue
        if isinstance(module, LowRankLinear):
            inside.update(module.modules())
            yield _layer(path, module.base, [module.lora_A], [module.lora_B])
        elif isinstance(getattr(module, "lora_A", None), nn.ModuleDict):
            # PEFT's, which keeps the weights of each adapter in two linear layers.
            inside.update(module.modules())
            factors = [
                [each.weight for each in getattr(module, name).values()] for name in ("lora_A", "lora_B")
            ]
            yield _layer(path, cast(nn.Module, module.base_layer), *factors)
        elif is_linear(module):
            yield _layer(path, module, [], [])


def _layer(path: str, base: nn.Module, a: Sequence[Tensor], b: Sequence[Tensor]) -> _Layer:
    width, out = in_by_out(base)
    trains = any(parameter.requires_grad for parameter in base.parameters())
    return _Layer(path, width, _Part(width * out, trains), _part(a), _part(b))


def _part(factors: Sequence[Tensor]) -> _Part:
    return _Part(sum(each.numel() for each in factors), any(each.requires_grad for each in factors))


def _leading(layers: Sequence[_Layer], weights: int) -> int:
    """Return how many of the first layers have `weights` weights: queries, keys and values, or all in one."""
    for count in range(len(layers)):
        if sum(layer.base.weights for layer in layers[:count]) == weights:
            return count
    raise ValueError("the first linear layers are not the queries, keys and values of a first block")
