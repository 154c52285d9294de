# Databricks notebook source
# MAGIC %md
# MAGIC # What if?
# MAGIC
# MAGIC Take a page view, change what was watched, what is offered, the hour or the device, and see how the order
# MAGIC changes. Choose a day, a viewer and a page view from the top downwards, running the first cell again after each;
# MAGIC the edits come below. Nothing is stored.

# COMMAND ----------

import os

from pagerec_dbx.notebooks import page_views, what_if
from pagerec_dbx.notebooks.desk import NONE, open_desk
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

# COMMAND ----------

page = desk.attempt(page_views.look_up, bench, desk.chosen("page_view"))
watched = dict.fromkeys([NONE, *desk.choices(what_if.titles, page)])
offered = dict.fromkeys([NONE, *desk.choices(what_if.rows, page)])
desk.widgets.text("add_titles", "", "Also watched, just now (a, b)")
desk.widgets.multiselect("drop_titles", NONE, list(watched), "Never watched")
desk.widgets.text("add_rows", "", "Also offered, at the end (a, b)")
desk.widgets.multiselect("drop_rows", NONE, list(offered), "Not offered")
desk.widgets.dropdown("hour", what_if.AS_IT_WAS, [what_if.AS_IT_WAS, *map(str, range(24))], "Hour of the viewer")
devices = [one for one in desk.choices(what_if.devices, bench) if one != NONE]
desk.widgets.dropdown("device", what_if.AS_IT_WAS, [what_if.AS_IT_WAS, *devices], "Device")

# COMMAND ----------

other = desk.attempt(
    what_if.edited,
    page,
    add_titles=what_if.listed(desk.widgets.get("add_titles")),
    drop_titles=desk.selected("drop_titles"),
    add_rows=what_if.listed(desk.widgets.get("add_rows")),
    drop_rows=desk.selected("drop_rows"),
    hour=desk.widgets.get("hour"),
    device=desk.widgets.get("device"),
)
desk.show(page_views.described, page)

# COMMAND ----------

rankers = desk.attempt(page_views.load_rankers, bench, desk.selected("versions"))
moves = desk.attempt(what_if.moves, page, other, rankers)
desk.show(what_if.summary, moves)

# COMMAND ----------

desk.show(what_if.moves_plot, moves)

# COMMAND ----------

desk.display(moves)
