"""Whether the version's probabilities come true: the reliability curve and the clicks by position."""

from pagerec_dbx.figures import number
from pagerec_dbx.report.board import caption
from pagerec_dbx.report.content import ReportContent
from pagerec_dbx.report.plots import line_chart

_PERFECT = "perfectly calibrated"


def calibration_part(content: ReportContent) -> dict:
    """What the section of the page needs; plots are None where there is nothing."""
    found, shares = content.calibration, sorted(content.shares, key=lambda share: share.position)
    known = found is not None and found.count > 0
    pages = shares[0].shown if shares else None  # every page view has a first position
    return {
        "calibration_error": number(found.error) if known else None,
        "calibration_caption": caption("menu", pages, None, content.simulated),
        "calibrated_pairs": f"{found.count:,}" if known else "",
        "reliability": _reliability_chart(content) if known else None,
        "reliability_rows": _reliability_rows(content) if known else [],
        "shares": line_chart(
            {
                "clicked": [(share.position, share.observed) for share in shares],
                f"predicted by version {content.version}": [(share.position, share.predicted) for share in shares],
            },
            unit=0.01,
            sign=" %",
        ),
        "share_rows": [
            [f"position {share.position}", f"{share.shown:,}", number(share.predicted), number(share.observed)]
            for share in shares
        ],
    }


def _reliability_chart(content: ReportContent):
    """Mean target against mean probability, both in per cent, beside the line on which they are equal."""
    found = content.calibration
    means = list(zip((100 * found.mean_probability).tolist(), found.mean_target.tolist(), strict=True))
    most = max(means[-1][0] / 100, max(target for _, target in means))
    series = {f"version {content.version}": means, _PERFECT: [(0.0, 0.0), (100 * most, most)]}
    return line_chart(series, unit=0.01, sign=" %")


def _reliability_rows(content: ReportContent) -> list[list[object]]:
    found = content.calibration
    columns = (found.lower, found.upper, found.mean_probability, found.mean_target)
    return [
        [f"bin {place}", f"{pairs:,}", *(number(float(value)) for value in values)]
        for place, (pairs, *values) in enumerate(zip(found.pairs.tolist(), *columns, strict=True), 1)
    ]
