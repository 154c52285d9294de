# Databricks notebook source
# MAGIC %md
# MAGIC # What if?
# MAGIC
# MAGIC Take a page view, change what was watched, what is offered, the hour or the device, and see how the order
# MAGIC changes. Choose a day, a viewer and a page view from the top downwards, running the first two cells again after
# MAGIC each, then the edits. A comma inside a name is written `%2C`. Nothing is stored.

# COMMAND ----------

from pagerec_dbx.notebooks import page_choices, page_views, what_if
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
page_view = desk.offer("page_view", pages, "Page view (clicked first)")
trained = desk.choices(versions, bench)
desk.offer_several("versions", trained, "Versions (newest first)")
page = desk.attempt(page_choices.look_up, bench, page_view, viewer)
desk.offer_several("drop_titles", desk.choices(what_if.titles, page), "Never watched")
desk.offer_several("drop_rows", desk.choices(what_if.rows, page), "Not offered")
desk.offer("hour", what_if.HOURS, "Hour of the viewer")
desk.offer("device", desk.choices(what_if.devices, bench), "Device")

# COMMAND ----------

desk.make_widgets()
desk.widgets.text("add_titles", "", "Also watched, just now (a, b)")
desk.widgets.text("add_rows", "", "Also offered, at the end (a, b)")

# COMMAND ----------

page = desk.attempt(page_choices.look_up, bench, desk.chosen("page_view"), desk.chosen("viewer"))
edits = desk.attempt(
    what_if.Edits,
    add_titles=what_if.listed(desk.widgets.get("add_titles")),
    drop_titles=desk.selected("drop_titles"),
    add_rows=what_if.listed(desk.widgets.get("add_rows")),
    drop_rows=desk.selected("drop_rows"),
    hour=desk.widgets.get("hour"),
    device=desk.widgets.get("device"),
)
other = desk.attempt(what_if.edited, page, edits)
desk.show(page_views.described, page)

# COMMAND ----------

rankers = desk.attempt(page_views.load_rankers, bench, desk.selected("versions"))
moves = desk.attempt(what_if.moves, page, other, rankers)
desk.show(what_if.summary, moves)

# COMMAND ----------

desk.show(what_if.moves_plot, moves)

# COMMAND ----------

desk.display(moves)
