"""The last released version together with this one: workers, services that enqueue, and the schema.

`make upgrade-test` runs this. The first run makes the released version from its commit, which takes
some minutes and the package index; without them it is skipped, and says so.
"""
