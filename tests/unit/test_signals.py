"""Ctrl-C and SIGTERM while Horovod's ranks run: its ranks end first, then what the user meant happens."""

import signal

import pytest
from horovod.runner import gloo_run

from pagerec_dbx.training.distributed import signals_heeded

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """As in a terminal: a process of a test run may have been told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_the_ranks_and_then_is_what_it_always_is():
    before = [signal.getsignal(number) for number in NUMBERS]
    with pytest.raises(KeyboardInterrupt), signals_heeded():
        event = gloo_run.register_shutdown_event()  # as Horovod does when it launches
        assert not event.is_set()
        signal.raise_signal(signal.SIGINT)
        assert event.is_set()  # which ends the ranks; nothing is raised in Horovod's midst
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_ctrl_c_goes_before_what_it_made_the_ranks_die_of():
    with pytest.raises(KeyboardInterrupt), signals_heeded():
        gloo_run.register_shutdown_event()
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("a rank died")


@pytest.mark.parametrize("number", NUMBERS)
def test_any_other_s_handler_is_called_once_and_kept(number):
    got = []
    before = signal.signal(number, lambda which, frame: got.append(which))
    try:
        with signals_heeded():
            gloo_run.register_shutdown_event()
            signal.raise_signal(number)
            assert not got
        assert got == [number]
        signal.raise_signal(number)
        assert got == [number, number]
    finally:
        signal.signal(number, before)


def test_sigterm_lets_the_process_put_things_away_before_it_ends():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as left, signals_heeded():
            gloo_run.register_shutdown_event()
            signal.raise_signal(signal.SIGTERM)
        assert left.value.code == 128 + 15
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_a_signal_nothing_happens_and_horovod_s_function_is_put_back():
    register = gloo_run.register_shutdown_event
    with signals_heeded():
        gloo_run.register_shutdown_event()
    assert gloo_run.register_shutdown_event is register


def test_horovod_by_itself_keeps_ctrl_c_for_good():
    """The control: this is what the guard is for."""
    before = [signal.getsignal(number) for number in NUMBERS]
    try:
        event = gloo_run.register_shutdown_event()
        signal.raise_signal(signal.SIGINT)
        assert event.is_set()
        assert [signal.getsignal(number) for number in NUMBERS] != before
    finally:
        for number, handler in zip(NUMBERS, before, strict=True):
            signal.signal(number, handler)
