"""The only room that needs torch: one loop; from scratch, full and LoRA."""
