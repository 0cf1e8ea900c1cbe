"""Nothing of the twin stays when it is left: not in PyTorch, nor in what libraries remember."""

from __future__ import annotations

import accelerate.utils
import pytest
import torch
from ledger import on_meta, recording
from torch.utils._device import _device_constructors
from transformers.utils import import_utils

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.twin import Twin


@pytest.mark.parametrize("asked_before", [True, False])
def test_what_transformers_remembers_is_of_where_it_is_asked(asked_before: bool) -> None:
    outside = torch.cuda.is_available()
    import_utils.is_torch_cuda_available.cache_clear()
    if asked_before:
        assert import_utils.is_torch_cuda_available() is outside
    with recording():
        assert import_utils.is_torch_cuda_available() is True
        assert import_utils.is_torch_bf16_gpu_available() is True
        assert accelerate.utils.is_cuda_available() is True
    assert import_utils.is_torch_cuda_available() is outside
    assert accelerate.utils.is_cuda_available() is outside


def test_what_has_nothing_to_do_with_the_device_stays_remembered() -> None:
    import_utils.is_scipy_available()
    before = import_utils.is_scipy_available.cache_info().currsize
    with recording():
        pass
    assert import_utils.is_scipy_available.cache_info().currsize == before


def test_every_attribute_of_pytorch_is_as_before() -> None:
    modules = (torch, torch.cuda, torch._C, torch.nn.functional, torch.Tensor, torch.amp, torch.accelerator)
    before = [dict(vars(module)) for module in modules]
    constructors = set(_device_constructors())
    with Twin(GPUS["h100-80gb"]), torch.device("cuda"):
        layer = torch.nn.Linear(4, 4)
        layer(on_meta(3, 4)).sum().backward()
        torch.tensor([1.0])
    for module, attributes in zip(modules, before, strict=True):
        assert {name for name, value in vars(module).items() if value is not attributes.get(name)} == set()
        assert vars(module).keys() == attributes.keys()
    assert set(_device_constructors()) == constructors
    _device_constructors.cache_clear()
    assert set(_device_constructors()) == constructors
