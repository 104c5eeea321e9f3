"""The alerts against a live Prometheus: each is provoked, fires, and is resolved.

`make alerts-test` runs this. It needs Debian's package `prometheus`, Terraform, root for the full
disk, and about eight minutes. The rules are the shipped ones, with shorter times (see ``rules``).
"""
