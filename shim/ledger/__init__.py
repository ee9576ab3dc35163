"""What several processes hold together: limits hold across them, and the dead hold nothing."""
