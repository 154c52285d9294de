"""A fault to find: a look back that knows what the viewer was shown later."""

from pyspark.sql import Window


class LookingAhead:
    """A window that ends one page view after this one."""

    currentRow = 2
    partitionBy = Window.partitionBy
