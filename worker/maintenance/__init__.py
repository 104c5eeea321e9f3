"""What a worker does beside builds: sweeping, pruning, signs of life; not the builds themselves."""
