"""What clients send: the bodies of requests, bounded and typed."""
