"""The engine that runs Terraform or OpenTofu; all code that reads its files and messages."""
