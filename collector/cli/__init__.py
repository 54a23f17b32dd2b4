"""What the subcommands do; the ``lithoscope`` command itself is ``lithoscope.py``."""
