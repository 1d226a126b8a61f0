"""The shop on several machines, some of which are cut off, killed and brought back.

`python -m drill.hosts --help` tells how to run it, docs/scaling.md what it proves. The machines are
network namespaces of this one: as root on Linux they cost nothing and leave nothing behind.
"""
