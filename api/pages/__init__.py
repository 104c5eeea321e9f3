"""The live page: server-rendered by the reads and rights of the API; it decides nothing itself."""
