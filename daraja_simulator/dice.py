"""Seeded randomness that does not depend on which thread comes first."""

import random
import secrets


class Dice:
    """Each draw is named by its facts (a phone, its how-manieth push), not by the order of calls.

    Two runs with one seed therefore agree push by push, even when many phones push at once.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = secrets.randbits(32) if seed is None else seed

    def named(self, *facts: object) -> random.Random:
        return random.Random("/".join(str(fact) for fact in (self.seed, *facts)))
