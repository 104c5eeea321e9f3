"""The command line, a file for each command; rules and SQL live in the other packages."""
