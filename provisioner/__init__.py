"""How one job runs, from its archive to its result; not who runs it or when."""
