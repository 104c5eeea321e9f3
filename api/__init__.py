"""The HTTP API: routes that follow Coder's, streams of logs and events, and the server.

``app`` puts it together. A route is a plain function that runs in a thread: it enters through the
``gate``, which opens the transaction and knows the caller, asks ``db``, and returns a model.
"""
