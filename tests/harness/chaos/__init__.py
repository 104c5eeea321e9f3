"""Chaos that aims: builds are held in a stage, a fault strikes them there, and a judge looks on.

gates      hold builds in each stage
site       servers, hosts and workers that can be harmed
hosts      what workers of one host share: disk, network
tenants    owners, their workspaces, and which build comes next
faults/    what is done, to builds, workers and servers
schedule   which fault strikes in which stage next
play       one round after the other
judge      what must hold after each round
report     what came of it: kept as JSON, merged, printed
"""
