"""The engine that runs Terraform or OpenTofu; only here are its files and messages understood."""
