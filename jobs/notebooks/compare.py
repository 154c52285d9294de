# Databricks notebook source
# MAGIC %md
# MAGIC # A challenger against the champion, the legacy and the floors
# MAGIC
# MAGIC Choose in the widgets, then run the cells below them. Every figure is of later page views that the model has
# MAGIC not trained on. On Databricks attach a cluster that has the wheel `pagerec_dbx` (docs/databricks.md); on a
# MAGIC laptop run `make notebooks`, or `python jobs/notebooks/compare.py home=demo`.

# COMMAND ----------

from pagerec_dbx.notebooks import comparisons
from pagerec_dbx.notebooks.desk import open_desk
from pagerec_dbx.notebooks.homes import HOME_LABEL, default_home, open_bench

desk = open_desk(globals())
desk.widgets.text("home", default_home(), HOME_LABEL)
stored = desk.attempt(comparisons.read_comparisons, desk.attempt(open_bench, desk.widgets.get("home")))

versions = desk.choices(comparisons.choices, stored, column="challenger")
challenger = desk.offer("challenger", versions, "Challenger (newest first)")
desk.offer("protocol", ["menu", "menu_unpinned", "vocabulary"], "What was ranked")
desk.offer("metric", ["ndcg", "ndcg_at_10", "reciprocal_rank", "hit_at_1", "hit_at_5"], "Metric")
slices = desk.choices(comparisons.slices, stored, challenger=challenger)
desk.offer("slice", slices, "Page views")
held = desk.choices(comparisons.choices, stored, column="baseline", challenger=challenger)
desk.offer("baseline", [comparisons.ALL, *held], "Held against")

# COMMAND ----------

desk.make_widgets()

# COMMAND ----------

chosen = {name: desk.widgets.get(name) for name in ("challenger", "protocol", "metric", "slice", "baseline")}
compared = desk.attempt(comparisons.chosen_comparisons, stored, **chosen)
desk.show(comparisons.summary, compared)

# COMMAND ----------

# MAGIC %md
# MAGIC `difference` is the challenger's mean minus the baseline's; `lower` and `upper` bound it (95 %, viewers drawn
# MAGIC anew). A baseline whose `measured` says elsewhere has other data: it stands beside and decides nothing.

# COMMAND ----------

desk.show(comparisons.readable, compared)

# COMMAND ----------

desk.show(comparisons.forest_plot, compared)

# COMMAND ----------

# MAGIC %md
# MAGIC The same by slice, against the baseline that is chosen, or against the popularity floor. An interval here is of
# MAGIC one slice alone; with many slices some lie beside 0 by chance.

# COMMAND ----------

del chosen["slice"]
chosen["baseline"] = "floor:popularity" if chosen["baseline"] == comparisons.ALL else chosen["baseline"]
by_slice = desk.attempt(comparisons.slices_of, stored, **chosen)
desk.show(comparisons.slices_plot, by_slice)
