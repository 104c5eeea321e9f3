"""A stand-in of the provider ``coder/coder``: the same schemas, texts and environment variables.

It is written from a description of the provider's behaviour, version 2.17. It speaks protocol 6
where the real one speaks 5; a template and the daemon cannot tell.
"""
