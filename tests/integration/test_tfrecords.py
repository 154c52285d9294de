"""The benchmark's TFRecords hold what the snapshot holds."""

import numpy as np
import tensorflow as tf

from benchmarks.tfrecords import compare, write_tfrecords
from pagerec_dbx.features.snapshot import read_batches
from tests.page_views import write_snapshot


def test_tfrecords_are_the_snapshots_records(tmp_path):
    snapshot = write_snapshot(tmp_path / "snapshot", [5, 4])
    files = write_tfrecords(snapshot, tmp_path)
    texts = [text for file in files for text in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()]
    batches = list(read_batches(snapshot, 100))
    for name in batches[0]:
        wanted = np.concatenate([batch[name] for batch in batches])
        found = [tf.train.Example.FromString(text).features.feature[name].int64_list.value for text in texts]
        np.testing.assert_array_equal(np.array(found).reshape(wanted.shape), wanted)


def test_comparison_counts_bytes_and_reads_everything(tmp_path):
    snapshot = write_snapshot(tmp_path / "snapshot", [5, 4])
    found = compare(snapshot, tmp_path, batch_size=4)
    assert found.records == 9
    assert found.parquet_bytes == sum(path.stat().st_size for path in snapshot.paths)
    assert found.tfrecord_bytes == sum(path.stat().st_size for path in tmp_path.glob("*.tfrecord"))
    assert "9 records" in found.lines()[0]
