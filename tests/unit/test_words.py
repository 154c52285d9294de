"""What a rank says reaches the driver's terminal while it trains, each line once."""

import io
import time

from pagerec_dbx.training.words import RankWords, listening


def wait_for(stream: io.StringIO, text: str) -> bool:
    end = time.monotonic() + 10
    while text not in stream.getvalue() and time.monotonic() < end:
        time.sleep(0.05)
    return text in stream.getvalue()


def test_lines_are_heard_while_they_are_said_and_once(tmp_path):
    terminal, words = io.StringIO(), RankWords(tmp_path)
    with listening(tmp_path, terminal):
        print("one", file=words)
        assert wait_for(terminal, "one\n")  # before it has ended
        words.write("half a ")
        time.sleep(1.5)
        assert "half" not in terminal.getvalue()
        words.write("line\nthree\n")
    assert terminal.getvalue() == "one\nhalf a line\nthree\n"  # the last ones at the end


def test_who_says_more_than_is_kept_is_heard_from_there_on(tmp_path):
    terminal, words = io.StringIO(), RankWords(tmp_path)
    with listening(tmp_path, terminal):
        words.write("".join(f"{number}\n" for number in range(250)))
    assert terminal.getvalue().split() == [str(number) for number in range(150, 250)]


def test_silence_and_half_a_file_are_nothing(tmp_path):
    terminal = io.StringIO()
    with listening(tmp_path, terminal):
        (tmp_path / "words.json").write_text('{"count": 3, "la')
    assert terminal.getvalue() == ""
