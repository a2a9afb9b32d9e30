"""Findings about documents and examples before a model learns from them, and what to do about each."""
