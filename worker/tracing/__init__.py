"""Traces of builds by OpenTelemetry, loaded only when they are turned on."""
