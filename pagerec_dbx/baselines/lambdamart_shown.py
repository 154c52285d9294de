"""LambdaMART that knows, beside what `lambdamart` knows, what this viewer was shown before and passed over."""

from pagerec_dbx.baselines.lambdamart import LambdaMart

BASELINE = LambdaMart(rounds=150, leaves=8, shown_values=1_000)  # chosen on page views before RankLens' holdout
