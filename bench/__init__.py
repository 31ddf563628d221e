"""The benchmark: Outrigger beside other proxies at the same job. README.md tells the method."""
