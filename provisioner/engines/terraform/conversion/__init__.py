"""From the JSON of a plan or a state to typed values; pure, runs nothing and stores nothing."""
