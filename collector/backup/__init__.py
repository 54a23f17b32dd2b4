"""Backup and restore: all that a store keeps, as of one moment, in one file that other tools read too."""
