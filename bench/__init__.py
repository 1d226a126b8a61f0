"""Where figures come from: the real shop under load, beside the ceiling of each work.

    python -m bench                       # every work, both databases
    python -m bench catalogue --database sqlite --rounds 9
    make bench BENCH_ARGS="catalogue storefront"

A ceiling is what the same server can do at best: a view of the same app that sends the same bytes
from a constant, or the bare driver with the same statement. Both sides are measured in turns, in
one run, and the ratio is the median over the rounds: on a busy machine the rates tell little.
"""
