"""A forward proxy, built on the library proxy.py: plain HTTP, and tunnels for everything else."""
