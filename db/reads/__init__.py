"""What readers ask of the tables, and the contract they get it in; nothing changes a row."""
