// Cases about what goes over a socket.
