"""What the demo shop's customer says of what they bought."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemoComment:
    sku: str
    days_ago: float
    rating: int | None
    body: str


SAID = (
    DemoComment("TEA-500", 11, 5, "Strong and red, as my mother makes it. This is our third tin."),
    DemoComment("SOAP-BAR", 10.5, 4, "Cuts clean and lasts. It could smell of something."),
    DemoComment(
        "KIONDO-M", 9, 5,
        "Lovely work, and bigger than I thought: it takes the whole market.\n\nThe handles are real"
        " leather.",
    ),
    DemoComment("SHUKA-R", 8.5, 5, "Warm enough for Limuru in July."),
    DemoComment("CABLE-C", 6, 4, "Charges fast. The plug sits a little tight at first."),
    DemoComment("RICE-5", 5, 5, "You smell it before the lid is off."),
    DemoComment("OIL-3", 5, 3, "Good oil, but the can arrived with a dent."),
    DemoComment("SANDAL-M", 1.5, 5, "Beads all in place after a week in Nairobi dust."),
    DemoComment("KIKOI-B", 1, 4, "It did let go some blue. After two washes it is perfect."),
    DemoComment("STONE-HIP", 0.5, None, "Does it stand by itself, or does it need a base?"),
)  # fmt: skip
"""The last is a question, from somebody who has not bought it."""
