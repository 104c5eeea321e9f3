"""Secrets at rest: values that are sealed under the operator's keys before they are stored."""
