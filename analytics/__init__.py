"""The analysis: frames in, frames out."""
