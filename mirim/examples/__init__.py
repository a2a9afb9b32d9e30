"""Examples: imported, synthesised, filtered, split, rendered to tokens."""
