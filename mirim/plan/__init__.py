"""Cost, memory, time: measured on this machine."""
