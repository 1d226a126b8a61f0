"""The demo shop: people, goods and a past, so that there is something to look at."""
