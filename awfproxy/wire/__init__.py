"""HTTP/1.1 without I/O: llhttp behind our own head rules.  Bytes in, events out; no sockets."""
