"""Which values the parameters of a build may have: pure rules, without SQL."""
