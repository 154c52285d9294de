"""How many threads a rank takes: what it is told, else what the cluster's variables say, else its share."""

import os

import pytest
import tensorflow as tf

from pagerec_dbx.training.horovod_ranks import THREADS, work_with
from tests.bundle import job_of, load_bundle


@pytest.mark.parametrize(
    ("threads", "variables", "taken"),
    [
        (None, {}, [4, 4]),  # 8 processors, 2 ranks
        (None, {"TF_NUM_INTEROP_THREADS": "2"}, [4]),  # TensorFlow reads the other itself
        (None, {"TF_NUM_INTRAOP_THREADS": "4", "TF_NUM_INTEROP_THREADS": "2"}, []),
        (None, {"OMP_NUM_THREADS": "1"}, [4, 4]),  # as Spark sets it
        (1, {"TF_NUM_INTRAOP_THREADS": "4", "TF_NUM_INTEROP_THREADS": "2"}, [1, 1]),
    ],
)
def test_a_rank_takes_its_threads(monkeypatch, threads, variables, taken):
    told = []
    for name in ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads"):
        monkeypatch.setattr(tf.config.threading, name, told.append)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    work_with(threads, local_size=2)
    assert told == taken


def test_the_bundle_sets_what_a_rank_heeds():
    cluster = job_of(load_bundle(), "training")["job_clusters"][1]["new_cluster"]
    assert {name for name in cluster["spark_env_vars"] if "THREADS" in name} == set(THREADS)
