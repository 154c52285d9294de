"""Learns, from a streaming service's logs, in which order to show the rows of a home page to each viewer."""

import importlib.metadata
import os

try:
    __version__ = importlib.metadata.version("pagerec_dbx")  # of the last build: git's last tag and commit
except importlib.metadata.PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

# TensorFlow Recommenders and Horovod need the Keras 2 code base; TensorFlow reads this once, when it is imported. A
# value that somebody set on purpose stays, and `models.inputs.require_legacy_keras` refuses to work with it.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
