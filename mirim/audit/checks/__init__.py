"""Checks, one file each: `check(project, documents) -> Iterator[Finding]`, found by file name."""
