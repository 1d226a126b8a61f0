"""The drill: the real shop against a simulated Safaricom, with everything failing, and the books.

`python -m drill --help` tells how to run it, docs/drill.md what it proves. It drives the shop over
HTTP as customers do and reads its database only to compare it with what money really moved.
"""
