"""LambdaMART that knows, beside what `lambdamart` knows, what this viewer was shown before and passed over."""

from pagerec_dbx.baselines.lambdamart import LambdaMart

BASELINE = LambdaMart(shown_values=1_000)
