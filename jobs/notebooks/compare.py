# Databricks notebook source
# MAGIC %md
# MAGIC # A challenger against the champion, the legacy and the floors
# MAGIC
# MAGIC Choose above; every figure is of later page views that the model has not trained on. Attach a cluster that has
# MAGIC the wheel `pagerec_dbx` (docs/databricks.md); on a laptop run `python jobs/notebooks/compare.py home=demo`.

# COMMAND ----------

import os

from pagerec_dbx import notebook

desk = notebook.desk(globals())
desk.widgets.text("home", os.environ.get("PAGEREC_HOME", "main.pagerec_dev"), "Home: catalog.schema or a folder")
stored = notebook.read_comparisons(notebook.open_tables(desk.widgets.get("home")))

versions = notebook.choices(stored, "challenger")
desk.widgets.dropdown("challenger", versions[0], versions, "Challenger (newest first)")
desk.widgets.dropdown("protocol", "menu", ["menu", "menu_unpinned", "vocabulary"], "What was ranked")
desk.widgets.dropdown("metric", "ndcg", ["ndcg", "ndcg_at_10", "reciprocal_rank", "hit_at_1", "hit_at_5"], "Metric")

challenger = desk.widgets.get("challenger")
slices = notebook.choices(stored, "slice", challenger=challenger)
desk.widgets.dropdown("slice", slices[0], slices, "Page views")
baselines = [notebook.ALL, *notebook.choices(stored, "baseline", challenger=challenger)]
desk.widgets.dropdown("baseline", notebook.ALL, baselines, "Held against")

# COMMAND ----------

comparisons = notebook.chosen_comparisons(
    stored,
    **{name: desk.widgets.get(name) for name in ("challenger", "protocol", "metric", "slice", "baseline")},
)
desk.display(notebook.summary(comparisons))

# COMMAND ----------

# MAGIC %md
# MAGIC `difference` is the challenger's mean minus the baseline's; `lower` and `upper` bound it (95 %, viewers drawn
# MAGIC anew). A baseline whose `measured` says elsewhere has other data: it stands beside and decides nothing.

# COMMAND ----------

desk.display(notebook.readable(comparisons))

# COMMAND ----------

desk.display(notebook.forest_plot(comparisons))
