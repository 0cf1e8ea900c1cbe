"""Reading a value of `checkpointing`: its parts, joined by +."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lorafa_prof.errors import UsageError
from lorafa_prof.registry import nearest

#: Each part, in the order in which they are written, so that one choice has one name.
PARTS = ("full", "full-reentrant", "attention", "mlp", "offload")
#: Those of which there may be less than all, as in mlp=0.25.
SHARED = ("mlp", "offload")
#: What `offload` moves of what whole layers keep, which is only their inputs.
SHARE_WITH_FULL = 1.0
#: What `offload` moves of the rest. In forward of a packed Llama-2-7B in bf16 an H200 forms about 150 GB/s of
#: saved tensors, and a link of PCIe 5 takes about 50 GB/s of them.
SHARE = 1 / 3


@dataclass(frozen=True)
class Checkpointing:
    """A value of `checkpointing`, read.

    Attributes:
        layers: how whole layers are recomputed, or "".
        attention: whether attention's kernel is.
        mlp_share: the share of layers in which what the MLP computes before its last product is; 0: in none.
        offload_share: the largest share of what layers save that is moved to the host; 0: nothing is.
    """

    layers: Literal["", "full", "full-reentrant"] = ""
    attention: bool = False
    mlp_share: float = 0.0
    offload_share: float = 0.0

    @classmethod
    def read(cls, text: str) -> Checkpointing:
        """Return what `text` says: none, or some of `PARTS` in their order, some also as offload=0.5.

        Raises:
            UsageError: it says something else, or parts that exclude each other.
        """
        if text == "none":
            return cls()
        parts = text.split("+")
        names = [part.partition("=")[0] for part in parts]
        if any(part not in PARTS and name not in SHARED for part, name in zip(parts, names, strict=True)):
            raise _refusal(
                f"'{text}' is unknown{nearest(text, ('none', *PARTS))}; it is one of none, "
                f"{', '.join(PARTS)}, or several joined by +, as in attention+offload"
            )
        layers = [name for name in names if name.startswith("full")]
        if layers and len(layers) + names.count("offload") < len(names):
            others = "+".join(name for name in names if name not in (layers[0], "offload"))
            raise _refusal(f"'{text}': {layers[0]} recomputes {others} already; leave {others} out")
        ordered = sorted(parts, key=lambda part: PARTS.index(part.partition("=")[0]))
        if len(layers) > 1 or len(set(names)) < len(names):
            raise _refusal(f"'{text}' says one thing twice")
        if parts != ordered:
            raise _refusal(f"'{text}' is written {'+'.join(ordered)}")
        shares = {name: _share(part, text) for part, name in zip(parts, names, strict=True) if name in SHARED}
        by_default = SHARE_WITH_FULL if layers else SHARE
        return cls(
            layers=layers[0] if layers else "",  # type: ignore[arg-type]
            attention="attention" in names,
            mlp_share=shares.get("mlp", 0.0) or float("mlp" in names),
            offload_share=shares.get("offload", 0.0) or by_default * ("offload" in names),
        )


def _share(part: str, text: str) -> float:
    """Return the share that is said after =, or 0 if there is no =."""
    name, given, share = part.partition("=")
    if not given:
        return 0.0
    try:
        value = float(share)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise _refusal(f"'{text}': the share of {name} is above 0 and at most 1, as in {name}=0.5")
    return value


def _refusal(reason: str) -> UsageError:
    return UsageError(f"checkpointing {reason}", about="checkpointing")
