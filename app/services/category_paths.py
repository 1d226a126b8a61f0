"""Where a category stands in the tree."""

from collections.abc import Sequence

from app.services.categories import CategoryNode, no_such_category


def path_to_category(tops: Sequence[CategoryNode], slug: str) -> list[CategoryNode]:
    """From the top of the tree down to the category with this slug. Raises NotFound."""
    found = _search(tops, slug)
    if found is None:
        raise no_such_category()
    return found


def _search(nodes: Sequence[CategoryNode], slug: str) -> list[CategoryNode] | None:
    for node in nodes:
        if node.slug == slug:
            return [node]
        below = _search(node.children, slug)
        if below is not None:
            return [node, *below]
    return None
