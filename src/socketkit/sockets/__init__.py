"""The system's calls: name resolution, socket options, binding, descriptors inherited from a service manager."""
