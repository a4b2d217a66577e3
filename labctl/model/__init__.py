"""What a lab means, free of any provider: nodes, segments, addresses, routes, tunnels, NAT, zones, programs."""
