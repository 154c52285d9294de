"""Lists without ties, and what trec_eval makes of lists."""

import numpy as np
import pytrec_eval


def untied_lists(seed: int, lists: int = 200, length: int = 30):
    """Scores that are all different, uneven lengths, one to four relevant rows."""
    generator = np.random.default_rng(seed)
    scores = generator.permuted(np.tile(np.arange(float(length)), (lists, 1)), axis=1)
    lengths = generator.integers(2, length + 1, lists)
    mask = np.arange(length) < lengths[:, None]
    relevant = np.zeros(mask.shape, dtype=bool)
    for _ in range(4):
        relevant[np.arange(lists), generator.integers(0, lengths)] = True
    return scores, relevant, mask


def by_trec_eval(measure: str, scores, relevant, mask) -> np.ndarray:
    """[num_lists] the measure of each list; `ndcg_cut.10` is NDCG@10, `success.5` hit@5."""
    rows = [[str(row) for row in np.flatnonzero(real)] for real in mask]
    judged = {str(one): {row: int(relevant[one, int(row)]) for row in named} for one, named in enumerate(rows)}
    ranked = {str(one): {row: float(scores[one, int(row)]) for row in named} for one, named in enumerate(rows)}
    found = pytrec_eval.RelevanceEvaluator(judged, {measure}).evaluate(ranked)
    name = measure.replace(".", "_")
    return np.array([found[str(one)][name] for one in range(len(mask))])
