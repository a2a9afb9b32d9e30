"""The nouns of mirim. Standard library only: every other room may import this one, it imports none."""
