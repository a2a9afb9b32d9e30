"""HTTP in front of the models: OpenAI's interface, a web page, keys, scheduling, metrics. No torch."""
