"""What is known of the service behind: nothing (generic), or that it is Glance."""
