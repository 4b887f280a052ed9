extension Statement {
  /// What calls over a socket rest on.
  static let call: [Statement] = [
    Statement("RPC-01", .protobuf, "Unknown Fields", .must, "a field that the reader does not know is no error"),
    Statement("RPC-02", .grpcStatus, "Status codes", .must, "a method that the server does not have is answered with UNIMPLEMENTED"),
    Statement("RPC-03", .grpc, "Requests", .must, "a path of service and method says what is called; the authority may be missing"),
    Statement("RPC-04", .grpc, "Client Cancellation", .must, "a client may give up a call at any time, and only that call ends"),
    Statement("RPC-05", .grpc, "Stream Identification", .must, "every call is a stream of its own on the connection"),
    Statement("TTR-01", .ttrpc, "Message Frame", .must, "a message of more than 4 MiB is refused"),
    Statement("TTR-02", .ttrpc, "Introduction", .must, "one connection carries many requests at the same time, each with a stream of its own"),
    Statement("TTR-03", .ttrpc, "Response", .must, "every request is ended by a response, which may be an error"),
  ]
}
