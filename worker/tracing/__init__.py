"""Traces of builds by OpenTelemetry, imported only if traces are turned on."""
