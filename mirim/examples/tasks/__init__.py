"""Tasks, one file each: `messages(...)` is the prompt that synthesis, training and answering share."""
