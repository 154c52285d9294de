# Databricks notebook source
# MAGIC %md
# MAGIC # One viewer's page
# MAGIC
# MAGIC What a viewer had watched, which rows the page offered and which were clicked, how each version would have
# MAGIC ordered them, and why. Choose a day, then run the first cell again to choose among its viewers, and so on
# MAGIC downwards.

# COMMAND ----------

import os

from pagerec_dbx.notebooks import page_views
from pagerec_dbx.notebooks.desk import open_desk
from pagerec_dbx.notebooks.homes import open_bench, versions

desk = open_desk(globals())
desk.widgets.text("home", os.environ.get("PAGEREC_HOME", "main.pagerec_dev"), "Home: catalog.schema or a folder")
bench = desk.attempt(open_bench, desk.widgets.get("home"))

days = desk.choices(page_views.days, bench)
desk.widgets.dropdown("day", days[0], days, "Day (UTC)")
viewers = desk.choices(page_views.viewers, bench, desk.chosen("day"))
desk.widgets.dropdown("viewer", viewers[0], viewers, "Viewer (most clicks first)")
pages = desk.choices(page_views.page_views, bench, desk.chosen("day"), desk.chosen("viewer"))
desk.widgets.dropdown("page_view", pages[0], pages, "Page view (clicked first)")
trained = desk.choices(versions, bench)
desk.widgets.multiselect("versions", trained[0], trained, "Versions (newest first)")
desk.widgets.dropdown("why", trained[0], trained, "Explain the order of version")

# COMMAND ----------

page = desk.attempt(page_views.look_up, bench, desk.chosen("page_view"))
desk.show(page_views.described, page)

# COMMAND ----------

desk.show(page_views.history, page)

# COMMAND ----------

rankers = desk.attempt(page_views.load_rankers, bench, desk.selected("versions"))
orders = desk.attempt(page_views.orders, page, rankers)
desk.show(page_views.orders_plot, orders)

# COMMAND ----------

desk.display(orders)

# COMMAND ----------

# MAGIC %md
# MAGIC Why: each row's score is a sum of parts, named by the settings that ask for them (docs/models.md); `own` is the
# MAGIC model's own score. Of each part the mean over the page is taken off, for what all rows share moves none of them.

# COMMAND ----------

parts = desk.attempt(page_views.parts, page, rankers, desk.chosen("why"))
desk.show(page_views.parts_plot, parts)

# COMMAND ----------

desk.display(parts)
