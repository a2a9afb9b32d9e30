"""What people ask of a model: answer, chat. Serves a GGUF without torch."""
