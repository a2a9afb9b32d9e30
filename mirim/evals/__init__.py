"""Did it help: held-out questions through the functions that people use, with intervals and a verdict."""
