"""Telling the merchant's own systems what happened, after the Standard Webhooks specification.

Nothing is gathered here: ``records`` emits, and some of these modules record.
"""
