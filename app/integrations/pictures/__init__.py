"""The adapter that makes small pictures of what strangers send, in processes of their own."""

from app.integrations.pictures.decoders import DecoderProcesses

__all__ = ["DecoderProcesses"]
