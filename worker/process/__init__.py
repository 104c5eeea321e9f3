"""A worker process from start to end: services, signals, drain, watchdog; not the builds."""
