"""A process that dies between a decision and the aliases that follow it."""

from collections.abc import Callable

import pytest

from pagerec_dbx import promotions


def die_once_decided(promote: Callable[[], object]) -> None:
    """Run a promotion that is interrupted as soon as its decision is written."""
    decide = promotions.decide

    def decide_and_die(*arguments):
        decide(*arguments)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(promotions, "decide", decide_and_die)
        with pytest.raises(KeyboardInterrupt):
            promote()
