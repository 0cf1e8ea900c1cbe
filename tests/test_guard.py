"""What code of others raises ends no command as if it were done, and Ctrl-C is still Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from lorafa_prof.errors import LorafaProfError, described
from lorafa_prof.guard import EndedByOthersError, guarded


class Untellable(BaseException):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (SystemExit(0), "SystemExit: 0"),
        (SystemExit(), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (BaseException("two\nlines"), "BaseException: two"),
        (Untellable(), "Untellable"),
    ],
)
def test_what_would_end_the_program_is_an_error_that_names_whose_it_is(raised, said):
    with pytest.raises(EndedByOthersError) as caught, guarded("the method 'mine'"):
        raise raised
    assert str(caught.value) == f"the method 'mine' tried to end the program: {said}"
    assert isinstance(caught.value, LorafaProfError)
    assert caught.value.exit_code == 2


def test_exceptions_pass_as_they_are():
    with pytest.raises(ZeroDivisionError), guarded("it"):
        raise ZeroDivisionError
    with guarded("it"):
        pass


def test_a_key_pressed_is_no_error_of_the_code():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), guarded("it"):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_where_ctrl_c_is_ignored_it_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
    try:
        with guarded("it"):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_leaving_at_once_is_an_error_but_not_in_a_child():
    real = os._exit
    with guarded("it"):
        child = os.fork()
        if not child:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with pytest.raises(EndedByOthersError, match=r"os\._exit\(3\)"), guarded("it"):
        os._exit(3)  # not 0: without the guard that would end pytest as if all were well
    assert os._exit is real


def test_another_thread_may_still_end_the_process(monkeypatch):
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)  # as a cell does whose parent has died
    with guarded("it"):
        thread = threading.Thread(target=lambda: os._exit(1))
        thread.start()
        thread.join()
    assert ended == [1]


def test_it_works_in_a_thread_too():
    caught: list[BaseException] = []

    def run() -> None:
        try:
            with guarded("it"):
                sys.exit(0)
        except EndedByOthersError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_an_error_is_told_by_type_and_first_line():
    assert described(ValueError("a\nb")) == "ValueError: a"
    assert described(ValueError()) == "ValueError"
    assert described(Untellable()) == "Untellable"
