"""Which module runs is known, whatever the module does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from lorafa_prof.instruments.module_stack import ModuleStack


class Calls(nn.Module):
    """Calls what it is given, and then its children."""

    def __init__(self, action: Callable[[], None] = lambda: None, **children: nn.Module) -> None:
        super().__init__()
        self.action = action
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        self.action()
        for child in self.children():
            x = child(x)
        return x


@pytest.fixture(autouse=True)
def hooks_are_removed() -> Iterator[None]:
    yield
    assert not torch_module._global_forward_hooks
    assert not torch_module._global_forward_pre_hooks


X = torch.zeros(1)


def test_path_and_modules_within_nested_modules() -> None:
    seen: list[tuple[str, list[str]]] = []

    def look() -> None:
        seen.append((stack.path, [type(m).__name__ for m in stack.modules]))

    model = Calls(look, block=nn.Sequential(nn.Identity(), Calls(look)))
    stack = ModuleStack(model)
    with stack:
        model(X)
        look()
    assert seen == [("", ["Calls"]), ("block.1", ["Calls", "Sequential", "Calls"]), ("", [])]


def test_every_change_is_told() -> None:
    changes: list[str] = []
    model = Calls(a=Calls(b=nn.Identity()), c=nn.Identity())
    with ModuleStack(model, changes.append):
        model(X)
    assert changes == ["", "a", "a.b", "a", "", "c", "", ""]


def test_an_error_in_a_module_leaves_it() -> None:
    def fail() -> None:
        raise KeyError

    model = Calls(a=Calls(b=Calls(fail)))
    after: list[tuple[str, int]] = []

    def attempt() -> None:
        with pytest.raises(KeyError):
            model.a(X)
        after.append((stack.path, len(stack.modules)))

    outer = Calls(attempt, inner=nn.Identity(), model=model.a)
    stack = ModuleStack(outer)
    with stack, pytest.raises(KeyError):
        outer(X)
    assert after == [("", 1)]
    assert stack.modules == ()


def test_modules_of_others_are_passed_over() -> None:
    seen: list[str] = []
    stranger = Calls(lambda: seen.append(stack.path))
    model = Calls(a=Calls(lambda: stranger(X) and None))
    stack = ModuleStack(model)
    with stack:
        stranger(X)
        model(X)
    assert seen == ["", "a"]


def test_a_module_at_two_places_goes_by_its_first_path() -> None:
    seen: list[str] = []
    shared = Calls(lambda: seen.append(stack.path))
    model = Calls(a=shared, b=nn.Sequential(shared))
    stack = ModuleStack(model)
    with stack:
        model(X)
    assert seen == ["a", "a"]


def test_nothing_is_known_outside_of_the_context() -> None:
    seen: list[str] = []
    inner = Calls(lambda: seen.append(stack.path))
    model = Calls(a=inner)
    stack = ModuleStack(model)
    model(X)
    with stack:
        model(X)
    model(X)
    assert seen == ["", "a", ""]
