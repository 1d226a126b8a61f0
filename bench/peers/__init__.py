"""Others' shops, for the same work in the same run. Each lives in an environment of its own."""
