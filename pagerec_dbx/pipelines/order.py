"""The order of page views in time, without any engine: (served_at, request_id, page_view_id)."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclasses.dataclass(frozen=True)
class OrderKey:
    """The place of one page view in the order by which splits are cut.

    A page view without a request_id comes before all others of its instant; request_ids compare byte by byte.
    """

    served_micros: int  # microseconds since 1970-01-01 UTC
    request_id: str | None
    page_view_id: int

    @property
    def served_at(self) -> dt.datetime:
        """The instant as a UTC datetime."""
        return _EPOCH + self.served_micros * _MICROSECOND

    @property
    def rank(self) -> tuple:
        """What to compare: keys sort as their ranks do."""
        text = self.request_id or ""
        return self.served_micros, self.request_id is not None, text.encode("utf-8"), self.page_view_id

    def as_json(self) -> dict[str, object]:
        """The key as JSON values; `from_json` reads it back."""
        return {
            "served_at": self.served_at.isoformat(timespec="microseconds"),
            "request_id": self.request_id,
            "page_view_id": self.page_view_id,
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "OrderKey":
        """A key from what `as_json` gave; KeyError or ValueError if it is no such thing."""
        moment = dt.datetime.fromisoformat(values["served_at"])
        return OrderKey(micros_of(moment), values["request_id"], int(values["page_view_id"]))


@dataclasses.dataclass(frozen=True)
class Cuts:
    """Where the parts begin: the first page view of the validation part and of the holdout."""

    validation: OrderKey
    holdout: OrderKey


def micros_of(moment: dt.datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware datetime, exactly."""
    return (moment - _EPOCH) // _MICROSECOND
