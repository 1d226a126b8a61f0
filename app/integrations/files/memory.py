from obstore.store import MemoryStore

from app.integrations.files.objects import ObjectFiles


class MemoryFiles(ObjectFiles):
    """Files of this process alone, gone when it ends."""

    def __init__(self) -> None:
        super().__init__(MemoryStore)
