"""The wheel `pagerec_dbx` with the command `pagerec`.

What Databricks Runtime 15.4 LTS ML ships stands in the extra `local` and not in the base, so that installing the wheel
on a cluster changes no version of the runtime's. The extra `tune` is what `pagerec tune` needs and no other command.
"""

from setuptools import find_packages, setup

BASE = [
    "tensorflow-recommenders==0.7.7",
    "tf-keras>=2.16,<2.17",  # wanted by it; of TensorFlow's own minor version
]
LOCAL = [
    "click>=8",
    "delta-spark>=3.2,<3.3",
    "horovod==0.28.1",
    "jinja2",
    "lightgbm>=4,<5",
    "matplotlib",
    "mlflow>=2.13",
    "numpy<2",
    "pandas<3",
    "petastorm>=0.12.1",
    "psutil",
    "pyarrow>=14,<15",
    "pyspark>=3.5,<3.6",
    "pyyaml",
    "scikit-learn",
    "scipy",
    "tensorflow>=2.16,<2.17",
]
NOTEBOOKS = ["ipython", "ipywidgets>=8,<9"]  # in Jupyter; Databricks has widgets of its own
TUNE = ["optuna>=3.6,<4"]
DEV = ["databricks-bundles", "duckdb", "hypothesis", "mypy", "pytest", "pytest-xdist", "pytrec-eval-terrier", "ruff"]

setup(
    name="pagerec_dbx",
    use_scm_version={"fallback_version": "0.1.0"},  # from git's last tag and commit; without git the fallback
    description="Learns in which order to show the rows of a streaming service's home page to each viewer",
    packages=find_packages(include=["pagerec_dbx", "pagerec_dbx.*"]),
    package_data={"pagerec_dbx": ["**/*.html", "**/*.json", "**/*.css", "py.typed"]},
    python_requires=">=3.11,<3.12",
    install_requires=BASE,
    extras_require={"local": LOCAL + TUNE + NOTEBOOKS, "tune": TUNE, "dev": LOCAL + TUNE + NOTEBOOKS + DEV},
    entry_points={"console_scripts": ["pagerec = pagerec_dbx.cli:main"]},
)
