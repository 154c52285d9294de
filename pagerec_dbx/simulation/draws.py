"""The chance of `Chance`, in NumPy: the same draws for whole arrays of what they are drawn for."""

import dataclasses

import numpy as np

from pagerec_dbx.simulation.chance import Chance

# Spark's `xxhash64` of bigints is XXH64 of eight bytes each, whose seed is 42, then the hash of what came before.
_SEED = np.array([42], dtype=np.uint64)
_PRIME_1 = np.uint64(0x9E3779B185EBCA87)
_PRIME_2 = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME_3 = np.uint64(0x165667B19E3779F9)
_PRIME_4 = np.uint64(0x85EBCA77C2B2AE63)
_PRIME_5_AND_LENGTH = np.uint64(0x27D4EB2F165667C5 + 8)


@dataclasses.dataclass(frozen=True)
class Draws:
    """Draws of one `Chance`. Keys are integer arrays that broadcast; each draw equals that of the same keys in Spark.

    Every method returns an array of the keys' common shape. What all draws of a call share should come first and be
    narrow, as in `uniform("offer", viewer[:, None], rows[None, :])`: it is hashed once.
    """

    chance: Chance

    def bits(self, purpose: str, *keys: np.ndarray) -> np.ndarray:
        """64 random bits as uint64."""
        state = _hashed(np.array([self.chance.code(purpose)], dtype=np.int64), _SEED)
        for key in keys:
            state = _hashed(np.asarray(key, dtype=np.int64), state)
        return state

    def uniform(self, purpose: str, *keys: np.ndarray) -> np.ndarray:
        """Doubles strictly between 0 and 1."""
        return ((self.bits(purpose, *keys) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def happens(self, rate: float, purpose: str, *keys: np.ndarray) -> np.ndarray:
        """True with probability `rate`."""
        return self.uniform(purpose, *keys) < rate

    def below(self, count: int, purpose: str, *keys: np.ndarray) -> np.ndarray:
        """Integers from 0 to count - 1, as int64."""
        return np.floor(self.uniform(purpose, *keys) * count).astype(np.int64)

    def between(self, low: int, high: int, purpose: str, *keys: np.ndarray) -> np.ndarray:
        """Integers from low to high, both included, as int64."""
        return self.below(high - low + 1, purpose, *keys) + low

    def exponential(self, purpose: str, *keys: np.ndarray) -> np.ndarray:
        """Standard exponential doubles; minus their logarithm is `Chance.gumbel`."""
        return -np.log(self.uniform(purpose, *keys))


def _hashed(key: np.ndarray, state: np.ndarray) -> np.ndarray:
    """XXH64 of one int64 each, in place of the seed the state of the hash so far."""
    mixed = key.view(np.uint64) * _PRIME_2
    mixed = _rotated(mixed, 31) * _PRIME_1
    out = (state + _PRIME_5_AND_LENGTH) ^ mixed
    out = _rotated(out, 27)
    out *= _PRIME_1
    out += _PRIME_4
    out ^= out >> np.uint64(33)
    out *= _PRIME_2
    out ^= out >> np.uint64(29)
    out *= _PRIME_3
    out ^= out >> np.uint64(32)
    return out


def _rotated(bits: np.ndarray, by: int) -> np.ndarray:
    return (bits << np.uint64(by)) | (bits >> np.uint64(64 - by))
