"""Building the documentation as a site; not what its pages say."""
