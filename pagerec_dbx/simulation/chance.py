"""Chance as a function: every draw is a hash of the seed, its purpose and what it is drawn for.

So a draw depends neither on the order of the records nor on how they are divided among processes. `Chance` draws for
columns of Spark, `draws.Draws` the same for NumPy arrays.
"""

import dataclasses
import hashlib
from collections.abc import Iterable

from pyspark.sql import Column
from pyspark.sql import functions as F


@dataclasses.dataclass(frozen=True)
class Chance:
    """Draws of one seed. Keys are integer columns; the same purpose and keys always give the same draw."""

    seed: int

    def bits(self, purpose: str, *keys: Column | str) -> Column:
        """64 random bits as a bigint."""
        columns = [F.col(key) if isinstance(key, str) else key for key in keys]
        code = F.lit(self.code(purpose)).cast("bigint")
        return F.xxhash64(code, *[column.cast("bigint") for column in columns])

    def code(self, purpose: str) -> int:
        """What tells the draws of one seed and purpose from all others: 64 bits, signed."""
        digest = hashlib.sha256(f"{self.seed} {purpose}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    def uniform(self, purpose: str, *keys: Column | str) -> Column:
        """A double strictly between 0 and 1."""
        return (F.shiftrightunsigned(self.bits(purpose, *keys), 12) + F.lit(0.5)) * F.lit(2.0**-52)

    def happens(self, rate: float, purpose: str, *keys: Column | str) -> Column:
        """True with probability `rate`."""
        return self.uniform(purpose, *keys) < F.lit(float(rate))

    def below(self, count: int | Column, purpose: str, *keys: Column | str) -> Column:
        """An integer from 0 to count - 1, as a bigint."""
        return F.floor(self.uniform(purpose, *keys) * count)

    def between(self, low: int, high: int, purpose: str, *keys: Column | str) -> Column:
        """An integer from low to high, both included, as a bigint."""
        return self.below(high - low + 1, purpose, *keys) + F.lit(low)

    def gumbel(self, purpose: str, *keys: Column | str) -> Column:
        """A standard Gumbel double: the largest of `score + gumbel` is a multinomial-logit draw."""
        return -F.log(-F.log(self.uniform(purpose, *keys)))


def constants(values: Iterable[float | str], kind: str) -> Column:
    """Numbers or words without a bar as one array constant; Spark folds it once when it plans.

    Args:
        kind: the type of an element, as 'double'.
    """
    text = "|".join(repr(float(value)) if kind == "double" else str(value) for value in values)
    return F.split(F.lit(text), r"\|").cast(f"array<{kind}>")
