"""A home on which the whole demo has run once, on a few thousand simulated page views and two ranks."""

import pytest

from pagerec_dbx.hashing import VARIABLE
from tests.commands import Demo, run


@pytest.fixture(scope="session")
def demo(spark, tmp_path_factory) -> Demo:
    home = tmp_path_factory.mktemp("demo") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        result = run("demo", "--home", str(home), "--page-views", "4000", "--json", "epochs=8")
    assert result.code == 0, result.err
    return Demo(home, result)
