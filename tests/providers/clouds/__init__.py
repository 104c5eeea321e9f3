"""Stand-ins of the clouds that templates use most: Docker, Kubernetes and AWS.

They have the attributes and blocks that common templates set, and make nothing: a machine is its
entry in the state. Unlike in the real providers, every change replaces the resource.
"""
