"""What the black-box tests are made of: raw client, scripted upstream, the shim as a process."""
