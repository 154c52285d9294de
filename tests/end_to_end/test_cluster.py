"""The same thread where executors are processes of their own, as on a cluster."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow  # two more Java processes beside this one: several minutes on 2 cores
def test_demo_runs_on_a_local_cluster(tmp_path):
    command = [sys.executable, "-m", "pagerec_dbx.cli", "demo", "--home", str(tmp_path / "home")]
    options = ["--page-views", "2000", "--json", "epochs=2"]
    environment = {**os.environ, "PAGEREC_MASTER": "local-cluster[2,1,2048]"}
    environment.pop("PAGEREC_KEY", None)
    ended = subprocess.run([*command, *options], capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    result = json.loads(ended.stdout)
    assert result["trained"]["ranks"] == 2
    assert result["scored_page_views"] == 2_000
    assert "Traceback" not in ended.stderr and "\tat " not in ended.stderr
