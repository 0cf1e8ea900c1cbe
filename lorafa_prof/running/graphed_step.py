"""A training step as CUDA graphs: each phase captured once, and launched whole in every later step.

As PyTorch's notes on CUDA graphs have it (torch.cuda.graph): warm-up and capture on one side stream, all
graphs in one private pool of memory, replayed in the order of their capture. Gradients are freed at the end
of the captured step as ever, since within the pool nobody else takes their place.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from lorafa_prof.errors import LorafaProfError, described
from lorafa_prof.models.mask_answers import MaskAnswers
from lorafa_prof.optim.loss_scaling import LossScaler
from lorafa_prof.running.out_of_memory import is_out_of_memory
from lorafa_prof.step import Observer, Phase, TrainingStep, notify_end, notify_start

_TORCH = Path(torch.__file__).parent


class GraphedStep:
    """A training step that is captured when it first runs, and replayed from then on.

    Its first run makes the step as it is, unobserved, and then captures it, which moves no weight: the phases
    that observers see are those of the capture, which ask the allocator for what every step takes. In later
    runs they are those of the replay, for which the allocator is asked for nothing. What the host decides is
    decided for good: a new batch is written into the tensors of `inputs`, with the same shapes and nothing
    padded.

    Args:
        training: the step; its optimizer can be captured, and it has run before, on this stream, which is
            not CUDA's default one.
    """

    def __init__(self, training: TrainingStep) -> None:
        self._training = training
        self._graphs: list[tuple[Phase, torch.cuda.CUDAGraph]] = []

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """Keyword arguments of the model's forward, which every replay reads."""
        return self._training.inputs

    @property
    def scaler(self) -> LossScaler | None:
        """Nothing: a step that scales its loss looks at its gradients on the host."""
        return None

    def run(self, observers: Sequence[Observer] = ()) -> None:
        """Run the step once, and call each of `observers` when a phase starts and ends.

        Raises:
            LorafaProfError: it cannot be captured; the line names phase and place.
        """
        if not self._graphs:
            self._capture(observers)
            return
        for phase, graph in self._graphs:
            notify_start(observers, phase)
            graph.replay()
            notify_end(observers, phase)

    def ungraphed(self) -> TrainingStep:
        """Give back the graphs and their memory, and return the step as it was before them."""
        self._graphs.clear()
        return self._training

    def _capture(self, observers: Sequence[Observer]) -> None:
        answers = MaskAnswers()
        with answers.noted():
            self._training.run()
        graphs: list[tuple[Phase, torch.cuda.CUDAGraph]] = []
        pool = torch.cuda.graph_pool_handle()

        @contextmanager
        def captured(phase: Phase) -> Iterator[None]:
            graph = torch.cuda.CUDAGraph()
            failed: Exception | None = None
            try:
                with torch.cuda.graph(graph, pool=pool, stream=torch.cuda.current_stream()):
                    try:
                        yield
                    except Exception as error:
                        failed = error  # ending such a capture fails too, and would hide it
                        raise
            except Exception as error:  # noqa: BLE001 - raised below, whatever it was
                failed = failed or error
            if failed is None:
                graphs.append((phase, graph))
            elif isinstance(failed, LorafaProfError) or is_out_of_memory(failed):
                raise failed
            else:
                raise _cannot_be_captured(phase, failed) from failed

        with answers.given():
            self._training.run(observers, captured)
        self._graphs = graphs


def _cannot_be_captured(phase: Phase, error: Exception) -> LorafaProfError:
    return LorafaProfError(
        f"launch 'graph': {phase} cannot be captured in a CUDA graph: {_place(error)}: {described(error)}; "
        "set launch to eager",
        about="launch",
    )


def _place(error: BaseException) -> str:
    """The line that raised `error`, the last that is none of PyTorch's own."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _TORCH not in Path(frame.filename).parents]
    if not own:
        return "within PyTorch"
    last = own[-1]
    return f"'{last.line}' ({'/'.join(Path(last.filename).parts[-3:])}:{last.lineno})"
