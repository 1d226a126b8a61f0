"""What an order costs, and what it leaves behind: the figures that docs/scaling.md reckons with.

    python -m bench.growth                  # 2,000 orders on PostgreSQL
    python -m bench.growth --orders 10000

One buyer after the other places an order of two lines, asks for the prompt, pays, and one webhook
is told of it: through the whole app, in this process, without a network. Each step is done for all
orders before the next begins, so that processor time and bytes of PostgreSQL can be told apart.
Reading is asked for in the same way. Where redis-server is installed, the limits and the queue are
then in Redis, and its commands are counted.

Processor time tells what a core carries better than a rate does: who else is at work on the machine
changes a rate, and this hardly. What the web server itself costs is not in it.
"""
