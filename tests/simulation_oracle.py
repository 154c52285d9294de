"""One page view of a simulated world in plain Python, value by value, to hold the NumPy one against (SPEC 6)."""

import hashlib
import math

_MASK = (1 << 64) - 1
_PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
_DAY_MS = 86_400_000


def xxhash64(numbers, seed=42):
    """XXH64 of eight bytes each, chained as Spark chains it."""
    state = seed
    for number in numbers:
        mixed = _rotated((number & _MASK) * _PRIMES[1], 31) * _PRIMES[0]
        state = (state + _PRIMES[4] + 8) & _MASK ^ (mixed & _MASK)
        state = (_rotated(state, 27) * _PRIMES[0] + _PRIMES[3]) & _MASK
        state = ((state ^ (state >> 33)) * _PRIMES[1]) & _MASK
        state = ((state ^ (state >> 29)) * _PRIMES[2]) & _MASK
        state ^= state >> 32
    return state


def _rotated(bits, by):
    bits &= _MASK
    return (bits << by | bits >> (64 - by)) & _MASK


def uniform(seed, purpose, *keys):
    code = int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:8], "big", signed=True)
    return ((xxhash64([code, *(int(key) for key in keys)]) >> 12) + 0.5) * 2.0**-52


def gumbel(seed, purpose, *keys):
    return -math.log(-math.log(uniform(seed, purpose, *keys)))


def history_of(visit, laws, settings, day0_ms):
    """(title, epoch milliseconds), oldest first: titles are begun in number order until the page is served."""
    seed, viewer = settings.seed, visit["viewer"]
    start, interval = visit["watch_start_ms"], visit["watch_interval_ms"]
    watched, number = [], 0
    while True:
        log_ms = start + math.floor((number + uniform(seed, "watched", viewer, number)) * interval)
        if log_ms + day0_ms >= visit["served_ms"]:
            return watched[-settings.logged_history_length :]
        period = log_ms / (settings.taste_days * _DAY_MS) + visit["taste_phase"]
        moved_on = uniform(seed, "moved on", viewer, number) < period % 1
        pick, law = uniform(seed, "theme", viewer, number), settings.world_themes
        if pick < settings.taste_focus * settings.taste_drift:
            law = math.floor(uniform(seed, "favourite", viewer, math.floor(period) + moved_on) * settings.world_themes)
        elif pick < settings.taste_focus:
            law = visit["lifelong_theme"]
        room = uniform(seed, "title", viewer, number) * laws.sizes[law]
        cell = laws.offsets[law] + math.floor(room)
        title = laws.own[cell] if room % 1 < laws.keep[cell] else laws.other[cell]
        watched.append((int(title), log_ms + day0_ms))
        number += 1


def menu_of(visit, world, settings, day0_ms):
    """randomized, rows in page order, pinned places."""
    seed, key = settings.seed, (visit["viewer"], visit["page_index"])
    size = settings.menu_shortest + math.floor(
        uniform(seed, "menu size", *key) * (settings.menu_longest - settings.menu_shortest + 1)
    )
    randomized = uniform(seed, "randomized", *key) < settings.randomized_share
    has_pins = not randomized and uniform(seed, "pinned", *key) < settings.pinned_share
    pins = dict(zip(settings.pinned_places, range(len(settings.pinned_places)), strict=True)) if has_pins else {}

    def score(row):
        return settings.policy_strength * world.old_popularity[row]

    launched = visit["served_ms"] >= day0_ms + settings.launch_day * _DAY_MS
    there = (
        settings.world_rows if launched else settings.world_rows - round(settings.launched_share * settings.world_rows)
    )
    candidates = [row for row in range(there) if row not in pins.values()]
    candidates.sort(key=lambda row: -score(row) - gumbel(seed, "offer", *key, row))
    offered = candidates[: size - len(pins)]
    offered.sort(key=lambda row: -(0 if randomized else score(row)) - gumbel(seed, "order", *key, row))
    return randomized, [pins[place] if place in pins else offered.pop(0) for place in range(size)], sorted(pins)


def click_of(visit, chances, no_click, settings):
    """The drawn position, None for no click: the chances stand side by side, and no click takes the rest."""
    left = uniform(settings.seed, "click", visit["viewer"], visit["page_index"])
    for position, chance in enumerate(chances):
        left -= chance * (1 - no_click)
        if left < 0:
            return position
    return None
