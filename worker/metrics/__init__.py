"""The Prometheus series and how they are served; what is counted is decided where it happens."""
