"""Releases of Terraform: fetched, and verified before they are used; starts nothing."""
