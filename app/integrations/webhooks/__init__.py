"""The adapter of the WebhookSender port: HTTP to addresses that were checked, and to no others."""

from app.integrations.webhooks.sender import HttpWebhooks

__all__ = ["HttpWebhooks"]
