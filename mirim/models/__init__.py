"""Weights at rest and in use: finding a model, GGUF, quantisation, engines. No torch on the serving path."""
