"""Terraform providers that stand in for external ones in tests.

Each is a program of its own: ``mirror.py`` copies this package into a Terraform filesystem
mirror, and Terraform starts it from there. So nothing here imports anything else of ours, and
imports stay few, because every Terraform command waits for them.
"""
