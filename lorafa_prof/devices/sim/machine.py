"""What the twin knows of the GPU and of the CUDA build of PyTorch that it stands for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lorafa_prof.versions import Release, release

MIB = 2**20
#: The table of kernels was read in, and checked against traces of, this one.
CHECKED_TORCH = "2.11.0+cu130"
#: The newest torch whose shapes were compared with those traces.
NEWEST_TORCH: Release = (2, 13)
#: From this torch on workspaces of matrix products are taken for each operation and given back.
WORKSPACES_GIVEN_BACK: Release = (2, 15)
#: From this torch on each CUDA graph has a state of the random generator of its own, once it draws.
GENERATOR_STATE_BY_GRAPH: Release = (2, 13)
#: What runs here.
INSTALLED_TORCH = release(torch.__version__)


@dataclass(frozen=True)
class Machine:
    """A GPU with CUDA and PyTorch on it.

    Attributes:
        compute_capability: CUDA compute capability, major and minor.
        multiprocessors: number of them on the GPU; reductions and attention size their buffers by it.
        torch: the release of PyTorch.
    """

    compute_capability: tuple[int, int]
    multiprocessors: int
    torch: Release = INSTALLED_TORCH

    @property
    def threads_per_multiprocessor(self) -> int:
        """Threads that are resident at most.

        CUDA C++ Programming Guide, Technical Specifications per Compute Capability.
        """
        if self.compute_capability == (7, 5):
            return 1024
        if self.compute_capability in ((8, 6), (8, 7), (8, 9)) or self.compute_capability[0] in (11, 12):
            return 1536
        return 2048

    @property
    def gives_workspaces_back(self) -> bool:
        """Whether each matrix product takes its workspace anew (getCurrentCUDABlasHandleWithWorkspace)."""
        return self.torch >= WORKSPACES_GIVEN_BACK

    @property
    def cublas_workspace_bytes(self) -> int:
        """Workspace of a cuBLAS handle (ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize).

        Which GPUs have the larger one was read in the code of libtorch_cuda.so of 2.11, 2.12, 2.13 and 2.15.
        """
        major = self.compute_capability[0]
        if (
            major == 9
            or (major in (10, 12) and self.torch >= (2, 12))
            or (major == 11 and self.torch >= (2, 15))
        ):
            return 4096 * 8 * 1024
        return 4096 * 1024 * 2 + 16 * 1024 * 8

    @property
    def graphs_share_generator_state(self) -> bool:
        """Whether all CUDA graphs have one state of the random generator (ATen/cuda/CUDAGeneratorImpl.h)."""
        return self.torch < GENERATOR_STATE_BY_GRAPH

    @property
    def multiplies_fp8_by_cublaslt(self) -> bool:
        """Whether products of 8-bit floats by rows are cuBLASLt's, not CUTLASS's (cuda/ScaledBlas.cpp)."""
        return self.compute_capability == (9, 0)

    @property
    def widest_cudnn_head(self) -> int:
        """Largest head size that cuDNN's attention takes (sdp_utils.cpp, check_cudnn_tensor_shapes)."""
        return 256 if self.compute_capability == (9, 0) else 128

    @property
    def prefers_cudnn_attention(self) -> bool:
        """Whether attention tries cuDNN first (sdp_utils.cpp, check_prefer_cudnn_attention)."""
        return self.compute_capability[0] in (9, 10)
