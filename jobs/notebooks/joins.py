# Databricks notebook source
# MAGIC %md
# MAGIC # Are the logs joined well?
# MAGIC
# MAGIC How many clicks found the page view they were made on, why the others did not, and whether two independent
# MAGIC joins come to the same labels. Choose in the widgets, then run the cells below them. docs/joins.md says what
# MAGIC each measure is and what a bad one may mean.

# COMMAND ----------

from pagerec_dbx.notebooks import joins
from pagerec_dbx.notebooks.desk import open_desk
from pagerec_dbx.notebooks.homes import HOME_LABEL, default_home, open_bench

desk = open_desk(globals())
desk.widgets.text("home", default_home(), HOME_LABEL)
stored = desk.attempt(joins.read_health, desk.attempt(open_bench, desk.widgets.get("home")))

days = desk.choices(joins.days, stored)
desk.offer("first_day", days, "First day", default=days[min(27, len(days) - 1)])
desk.offer("last_day", days, "Last day")
desk.offer_several("methods", joins.METHODS, "Joins")

# COMMAND ----------

desk.make_widgets()

# COMMAND ----------

methods = desk.selected("methods")
health = desk.attempt(joins.between, stored, desk.widgets.get("first_day"), desk.widgets.get("last_day"), methods)
desk.show(joins.summary, health)

# COMMAND ----------

desk.show(joins.health_plot, health)

# COMMAND ----------

desk.show(joins.measures, health)
