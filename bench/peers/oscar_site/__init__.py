"""A shop of django-oscar and its API, as their documentation sets one up. It runs in their own
environment, and knows of ours only the goods that it sells.
"""
