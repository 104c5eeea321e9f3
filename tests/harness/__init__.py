"""What tests and benches share: servers, databases, rows, worker processes and faults.

A module that only one test needs stands beside that test. Nothing here imports a test or a bench.
"""
