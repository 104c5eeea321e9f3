"""Mutation testing: break one thing in a copy of the code, and see whether a test fails.

``make mutants`` breaks what stands in the rooms of ``rooms``, one thing at a time: comparisons,
conditions, constants, calls, and the guards within SQL. A mutant that no test notices has
survived: a promise without a test, or a line that makes no difference.
"""
