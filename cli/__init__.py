"""The command line, a file for each command; rules and statements live in the packages below."""
