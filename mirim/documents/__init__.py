"""From files to documents, passages and search. Knows nothing about models."""
