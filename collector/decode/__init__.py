"""From request bytes to flat Arrow tables, without a Python object per span."""
