"""Reading a value of `checkpointing`: its parts, joined by +."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lorafa_prof.errors import UsageError

#: Each part, in the order in which they are written, so that one choice has one name.
PARTS = ("full", "full-reentrant", "attention", "mlp", "offload")
#: What `offload` moves of what whole layers keep, which is only their inputs.
SHARE_WITH_FULL = 1.0
#: What `offload` moves of the rest. Of a packed Llama-2-7B in bf16 an H200 forms about 150 GB/s of saved tensors in forward,
#: and a PCIe 5 link takes about 50 GB/s of it.
SHARE = 1 / 3


@dataclass(frozen=True)
class Checkpointing:
    """A value of `checkpointing`, read.

    Attributes:
        layers: how whole layers are recomputed, or "".
        attention: whether attention's kernel is.
        mlp: whether what an MLP computes before its last product is.
        offload_share: the largest share of what layers save that is moved to the host; 0: nothing is.
    """

    layers: Literal["", "full", "full-reentrant"] = ""
    attention: bool = False
    mlp: bool = False
    offload_share: float = 0.0

    @classmethod
    def read(cls, text: str) -> Checkpointing:
        """Return what `text` says: none, or some of `PARTS` in their order, offload also as offload=0.5.

        Raises:
            UsageError: it says something else, or parts that exclude each other.
        """
        if text == "none":
            return cls()
        parts = text.split("+")
        names = [part.partition("=")[0] for part in parts]
        if any(name not in PARTS for name in names) or any(
            "=" in part and name != "offload" for part, name in zip(parts, names, strict=True)
        ):
            raise _refusal(
                f"'{text}' is unknown; it is one of none, {', '.join(PARTS)}, or several joined by +, as in "
                "attention+offload"
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
        return cls(
            layers=layers[0] if layers else "",  # type: ignore[arg-type]
            attention="attention" in names,
            mlp="mlp" in names,
            offload_share=_share(parts[-1], text, SHARE_WITH_FULL if layers else SHARE),
        )


def _share(part: str, text: str, default: float) -> float:
    name, given, share = part.partition("=")
    if name != "offload":
        return 0.0
    if not given:
        return default
    try:
        value = float(share)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise _refusal(f"'{text}': the share to offload is above 0 and at most 1, as in offload=0.5")
    return value


def _refusal(reason: str) -> UsageError:
    return UsageError(f"checkpointing {reason}", about="checkpointing")
