"""Building the site of the documentation; not the content of its pages."""
