"""The state machine of jobs, with leases, results, states and logs; not queries for display."""
