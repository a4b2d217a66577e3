"""A DNS server without sockets, clock or chance: bytes and the time in, answers and questions out."""
