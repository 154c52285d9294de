# Databricks notebook source
# MAGIC %md
# MAGIC # May this version serve?
# MAGIC
# MAGIC The stored verdict on a version, limit by limit, whether it still holds, and who served since when. A dry run
# MAGIC unless the widget `action` says `promote` and the version's number is typed into `confirm`: then the version is
# MAGIC promoted if its verdict allows it, as `pagerec promote` does, and the decision is recorded either way. Empty
# MAGIC `confirm` afterwards.

# COMMAND ----------

from pagerec_dbx.notebooks import promotion
from pagerec_dbx.notebooks.desk import open_desk
from pagerec_dbx.notebooks.homes import HOME_LABEL, MODEL_LABEL, default_home, default_model, open_bench, versions

desk = open_desk(globals())
desk.widgets.text("home", default_home(), HOME_LABEL)
desk.widgets.text("model", default_model(), MODEL_LABEL)
bench = desk.attempt(open_bench, desk.widgets.get("home"), desk.widgets.get("model"))
trained = desk.choices(versions, bench)
desk.offer("version", trained, "Version (newest first)")
desk.offer("action", [promotion.DRY_RUN, promotion.PROMOTE], "Action")

# COMMAND ----------

desk.make_widgets()
desk.widgets.text("confirm", "", "To promote, type the version here")

# COMMAND ----------

verdict = desk.attempt(promotion.verdict_on, bench, desk.chosen("version"))
desk.show(promotion.standing, bench, verdict)

# COMMAND ----------

desk.show(promotion.reasons, verdict)

# COMMAND ----------

desk.show(promotion.act, bench, desk.chosen("version"), desk.widgets.get("action"), desk.widgets.get("confirm"))

# COMMAND ----------

decided = desk.attempt(promotion.decisions, bench)
desk.show(promotion.service_plot, decided, bench)

# COMMAND ----------

desk.display(decided)
