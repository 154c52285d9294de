"""Progress lines."""

import io
import re
import time

from pagerec_dbx.progress import Progress, describe, working


def test_describe_tells_rate_and_time_left():
    # 30 of 120 in 10 s: 3 a second, the other 90 take 30 s
    assert describe(30, 120, "steps", 10.0) == "30 of 120 steps, 3.0/s, 30 s left"
    assert describe(0, 120, "steps", 0.0) == "0 of 120 steps, 0.0/s"
    assert describe(120, 120, "steps", 10.0) == "120 of 120 steps, 12.0/s"
    # what was done before does not count for the rate: 20 in 10 s
    assert describe(80, 120, "steps", 10.0, already=60) == "80 of 120 steps, 2.0/s, 20 s left"


def test_progress_shows_the_end_in_a_log_file():
    stream = io.StringIO()
    progress = Progress("epoch 1 of 2", 10, "steps", stream)
    for done in range(1, 11):
        progress.update(done)
    progress.close()
    assert stream.getvalue().count("\n") == 1
    assert "epoch 1 of 2: 10 of 10 steps" in stream.getvalue()


def test_what_cannot_tell_how_far_it_is_tells_the_time(capsys):
    with working("exporting", quiet_for=0.05):
        time.sleep(0.5)
    assert re.fullmatch(r"  exporting: \d s so far\n", capsys.readouterr().err)
    with working("exporting"):  # done before anybody has to wait
        pass
    assert capsys.readouterr().err == ""
