"""How long before a page view something happened."""

from pyspark.sql import Column
from pyspark.sql import functions as F

LONGEST_AGE = 2_147_483_647  # seconds; what an int holds


def age_seconds(moment: Column) -> Column:
    """Whole seconds from a moment to the page view (`served_at`): at least 1, 0 where the moment is not known."""
    seconds = F.floor((F.unix_micros("served_at") - F.unix_micros(moment)) / 1_000_000)
    within = F.least(F.greatest(seconds, F.lit(1)), F.lit(LONGEST_AGE))
    return F.when(moment.isNull(), 0).otherwise(within.cast("int"))
