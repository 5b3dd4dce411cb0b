"""What several tests share: worlds, folders, servers, small sweeps."""
