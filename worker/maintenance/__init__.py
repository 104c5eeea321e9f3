"""What a worker does in addition to builds: sweeping, pruning, heartbeats; not the builds."""
