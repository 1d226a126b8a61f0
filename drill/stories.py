"""What customers do, as a table: each row a small function and how often it is told.

To add one, write a generator that takes a Buyer and yields its pauses in seconds, and give it a
row in STORIES.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from drill import claim_stories, menu_stories, prompt_stories
from drill.buyer import Buyer, Steps
from drill.market import HOT_UNITS


@dataclass(frozen=True, slots=True)
class Story:
    """``payments`` is how many are meant in one telling; a share where the dice decide."""

    name: str
    weight: float
    payments: float
    tell: Callable[[Buyer], Steps[None]]


STORIES = (
    Story("pays", 36, 1, prompt_stories.pays),
    Story("meets trouble", 12, 0.9, prompt_stories.meets_trouble),
    Story("cannot pay", 8, 0.5, prompt_stories.cannot_pay),
    Story("ignores the prompt", 2, 0, prompt_stories.ignores_the_prompt),
    Story("walks away", 2, 0, prompt_stories.walks_away),
    Story("pays in two tabs", 3, 1, prompt_stories.pays_in_two_tabs),
    Story("taps twice", 3, 1, prompt_stories.taps_twice),
    Story("changes mind", 3, 0.7, prompt_stories.changes_mind),
    Story("pays at the last moment", 3, 1, prompt_stories.pays_at_the_last_moment),
    Story("pays the same again", 2, 2, prompt_stories.pays_the_same_again),
    Story("is reported fifty times", 0.4, 1, prompt_stories.is_reported_fifty_times),
    Story("is robbed", 2, 0, prompt_stories.is_robbed),
    Story("gets the money back", 6, 1, prompt_stories.gets_the_money_back),
    Story("rush", 0.7, HOT_UNITS, prompt_stories.rush),
    Story("pays from the menu", 8, 1, menu_stories.pays_from_the_menu),
    Story("meets trouble at the menu", 4, 0.9, menu_stories.meets_trouble_at_the_menu),
    Story("pays in parts", 3, 2.2, menu_stories.pays_in_parts),
    Story("pays too much", 2, 1, menu_stories.pays_too_much),
    Story("pays twice", 3, 1.6, menu_stories.pays_twice),
    Story("types a wrong number", 3, 0.8, menu_stories.types_a_wrong_number),
    Story("pays a dead order", 2, 0.5, menu_stories.pays_a_dead_order),
    Story("says that it is paid", 4, 0.8, claim_stories.says_that_it_is_paid),
    Story("is robbed of a receipt", 3, 1, claim_stories.is_robbed_of_a_receipt),
    Story("makes a receipt up", 1, 0, claim_stories.makes_a_receipt_up),
)


def plan_stories(seed: int, payments: int) -> list[Story]:
    """So many stories that so many payments are meant, and each story at least once.

    The same for the same seed.
    """
    dice = Random(f"{seed}/plan")
    planned = dice.sample(STORIES, k=len(STORIES))
    meant = sum(story.payments for story in planned)
    while meant < payments:
        story = dice.choices(STORIES, [one.weight for one in STORIES])[0]
        planned.append(story)
        meant += story.payments
    return planned
