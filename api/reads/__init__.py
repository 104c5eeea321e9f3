"""What commands read: questions, each with its answer from the database for a viewer.

A command asks the database itself, or a server whose API has a route for each of them
(``api.routes.reads``). Nothing here imports FastAPI, and a module imports only what its questions
need, since commands start with it.
"""
