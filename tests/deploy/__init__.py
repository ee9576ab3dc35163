"""What is shipped in deploy/ for systemd, containers and Kubernetes, judged by the tools that read it."""
