"""Success rate and latency through each proxy while what is behind it fails; see README.md."""
