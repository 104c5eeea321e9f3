"""The state machine of jobs: moves, leases, results, states, logs; not what people look at."""
