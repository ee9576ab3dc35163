"""What happened and is happening, as numbers and lines; exporters stand outside and read."""
