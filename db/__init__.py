"""What is stored, and every statement that reads or changes it; nothing runs a build here."""
