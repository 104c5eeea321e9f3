"""The shipped deployment files, really run: a systemd in a container of its own, and the image.

`make deploy-test` runs this. It needs root, a Debian with the programs that ``conftest`` names, and
some minutes: it makes a Debian root by debootstrap, once, and builds the image on top of it.
"""
