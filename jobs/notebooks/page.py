# Databricks notebook source
# MAGIC %md
# MAGIC # One viewer's page
# MAGIC
# MAGIC What a viewer had watched, which rows the page offered and which were clicked, how each version would have
# MAGIC ordered them, and why. Choose a day, then run the first two cells again to choose among its viewers, and
# MAGIC so on downwards.

# COMMAND ----------

from pagerec_dbx.notebooks import page_choices, page_views
from pagerec_dbx.notebooks.desk import open_desk
from pagerec_dbx.notebooks.homes import HOME_LABEL, MODEL_LABEL, default_home, default_model, open_bench, versions

desk = open_desk(globals())
desk.widgets.text("home", default_home(), HOME_LABEL)
desk.widgets.text("model", default_model(), MODEL_LABEL)
bench = desk.attempt(open_bench, desk.widgets.get("home"), desk.widgets.get("model"))

day = desk.offer("day", desk.choices(page_choices.days, bench), "Day (UTC)")
viewers = desk.choices(page_choices.viewers, bench, day)
viewer = desk.offer("viewer", viewers, "Viewer (most clicks first)")
pages = desk.choices(page_choices.page_views, bench, day, viewer)
desk.offer("page_view", pages, "Page view (clicked first)")
trained = desk.choices(versions, bench)
desk.offer_several("versions", trained, "Versions (newest first)")
desk.offer("why", trained, "Explain the order of version")

# COMMAND ----------

desk.make_widgets()

# COMMAND ----------

page = desk.attempt(page_choices.look_up, bench, desk.chosen("page_view"), desk.chosen("viewer"))
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
