"""An amount of memory and the pieces it is made of: what lives at one moment of a step."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lorafa_prof.instruments.allocations.block_notes import BlockNote
from lorafa_prof.instruments.allocations.log import AllocationEvent, Place
from lorafa_prof.instruments.allocations.timeline import Timeline
from lorafa_prof.instruments.saved.needs import Need
from lorafa_prof.instruments.user_line import both_lines
from lorafa_prof.parts import BlockKind, PartKey
from lorafa_prof.results.needs import key_of, like_need
from lorafa_prof.results.tensors import TensorKey, layer_of
from lorafa_prof.words.module_paths import like_modules

#: What forward leaves for backward: the activation memory.
OF_FORWARD: tuple[PartKey, ...] = ("saved", "held")

_NOTHING_KNOWN = BlockNote()


@dataclass(frozen=True)
class Piece:
    """Equal tensors of like modules.

    Attributes:
        part: of the memory.
        key: where they are from. Its kind is, by part: of saved tensors one of `parts.SAVED_KINDS`; of
            weights "trained", "frozen" or "buffer"; of optimizer state its name. Its operation is the one
            that the tensors were saved or made by, or of a weight its name in its module.
        count: how many.
        nbytes: asked for, together.
        line: of the code that had the first of them saved; of others the user's own that made it, if any.
        needs: what autograd keeps them for, layers taken as one.
        into_layer_bytes: of those that go into a layer, which checkpointing keeps.
        layers: bytes by the path of the layer that they are in: ``model.layers.3``.
    """

    part: PartKey
    key: TensorKey
    count: int
    nbytes: int
    line: str = ""
    needs: tuple[Need, ...] = ()
    into_layer_bytes: int = 0
    layers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Composition:
    """What an amount of memory is made of: the pieces, the rounding, and what these do not explain.

    Attributes:
        total_bytes: measured, or by the allocator's own counter.
        pieces: largest first.
        rounding_bytes: what the allocator's blocks have beyond what was asked for.
        place: the operation in which it was so; None where that is not known.
        reserved_bytes: what the allocator held of the device then; None where that is not known.
    """

    total_bytes: int
    pieces: tuple[Piece, ...]
    rounding_bytes: int
    place: Place | None = None
    reserved_bytes: int | None = None

    @property
    def unexplained_bytes(self) -> int:
        """The total less all that is known; below zero where more is known of than was measured."""
        return self.total_bytes - sum(piece.nbytes for piece in self.pieces) - self.rounding_bytes

    def of(self, part: PartKey) -> tuple[Piece, ...]:
        """The pieces of a part."""
        return tuple(piece for piece in self.pieces if piece.part == part)


def peak_moment(timeline: Timeline) -> int:
    """How many events came before the moment at which most is allocated in the steady step.

    Raises:
        ValueError: the timeline has no steady step.
    """
    if timeline.steady is None:
        raise ValueError("memory ran out before the steady step")
    start, end = timeline.steady
    allocated = _allocated(timeline.events[:end])
    return max(range(start, end + 1), key=lambda moment: allocated[moment])


def _allocated(events: Iterable[AllocationEvent]) -> list[int]:
    """Bytes before the first event and after each."""
    amounts = [0]
    for event in events:
        amounts.append(amounts[-1] + (event.block_bytes if event.kind == "alloc" else -event.block_bytes))
    return amounts


def composition_at(
    timeline: Timeline, notes: Mapping[int, BlockNote], moment: int, total_bytes: int
) -> Composition:
    """What is live after the first `moment` events, of which the allocator says that it is `total_bytes`."""
    live = _live_pieces(timeline, notes, moment)
    return _composed(live, total_bytes, _place(timeline, moment), _reserved(timeline, moment))


def left_by_forward(
    timeline: Timeline, notes: Mapping[int, BlockNote], moment: int, activation_bytes: int
) -> Composition:
    """What of it is live after the first `moment` events, with which a forward ends."""
    live = _live_pieces(timeline, notes, moment)
    return _composed([(event, piece) for event, piece in live if piece.part in OF_FORWARD], activation_bytes)


def _composed(
    live: Sequence[tuple[AllocationEvent, Piece]],
    total_bytes: int,
    place: Place | None = None,
    reserved_bytes: int | None = None,
) -> Composition:
    rounding = sum(event.block_bytes - event.requested_bytes for event, _ in live)
    pieces = together(piece for _, piece in live)
    return Composition(total_bytes, pieces, rounding, place, reserved_bytes)


def _live_pieces(
    timeline: Timeline, notes: Mapping[int, BlockNote], moment: int
) -> list[tuple[AllocationEvent, Piece]]:
    live: dict[int, AllocationEvent] = {}
    for event in timeline.events[:moment]:
        if event.kind == "alloc":
            live[event.allocation] = event
        else:
            del live[event.allocation]
    phase = _place(timeline, moment).phase
    return [
        (event, _piece(event, timeline.kinds[number], notes.get(number, _NOTHING_KNOWN), phase))
        for number, event in live.items()
    ]


def _place(timeline: Timeline, moment: int) -> Place:
    """Where the last of the first `moment` events came."""
    return timeline.events[moment - 1].place if moment else Place(0, "build", "", "")


def _piece(event: AllocationEvent, kind: BlockKind, note: BlockNote, phase: str) -> Piece:
    part = _part(kind, note, phase)
    saved, nbytes = note.saved, event.requested_bytes
    if part == "saved" and saved is not None:
        return Piece(
            part,
            key_of(saved),
            1,
            nbytes,
            both_lines(saved.user_line, saved.line),
            tuple(map(like_need, note.needs)),
            nbytes if note.into_layer else 0,
            _in_layer(saved.module, nbytes),
        )
    module, op = event.place.module, event.place.operation
    if part in ("weights", "gradients", "optimizer") and note.name:
        module, _, op = note.name.rpartition(".")
    key = TensorKey(like_modules(module), note.role, op, note.dtype, note.shape)
    return Piece(part, key, 1, nbytes, event.place.line, layers=_in_layer(module, nbytes))


def _in_layer(module: str, nbytes: int) -> dict[str, int]:
    layer = layer_of(module)
    return {layer: nbytes} if layer else {}


def _part(kind: BlockKind, note: BlockNote, phase: str) -> PartKey:
    saved = note.saved is not None and not note.saved.from_before
    # A loss that forms gradients in forward has autograd keep them, until they become those of weights.
    # What a module keeps for the next step may be saved too.
    if saved and (kind in ("activations", "other") or (kind == "gradients" and phase == "forward")):
        return "saved"
    if kind == "activations":
        return "held"
    if kind == "temporaries" and note.recomputed:
        return "recomputed"
    return kind


def together(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Pieces of one part and key as one, the largest first."""
    groups: dict[tuple[PartKey, TensorKey], list[Piece]] = defaultdict(list)
    for piece in pieces:
        groups[piece.part, piece.key].append(piece)
    merged = (as_one(alike) for alike in groups.values())
    return tuple(sorted(merged, key=lambda piece: (-piece.nbytes, piece.part, piece.key)))


def as_one(alike: Sequence[Piece]) -> Piece:
    """Several pieces as one, which is called as the first."""
    return replace(
        alike[0],
        count=sum(piece.count for piece in alike),
        nbytes=sum(piece.nbytes for piece in alike),
        needs=tuple(dict.fromkeys(need for piece in alike for need in piece.needs)),
        into_layer_bytes=sum(piece.into_layer_bytes for piece in alike),
        layers=sum((Counter(piece.layers) for piece in alike), Counter()),
    )


def _reserved(timeline: Timeline, moment: int) -> int:
    """Bytes taken from the device and not given back, with what the last of `moment` events took."""
    return sum(
        event.size_bytes if event.action in ("segment_alloc", "segment_map") else -event.size_bytes
        for event in timeline.segment_events
        if event.before < moment
    )
