"""Engines, one file each: `open(model, *, context, threads, **options) -> Engine`."""
