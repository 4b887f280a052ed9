extension Statement {
  /// What is told, to whom, and when.
  static let event: [Statement] = [
    Statement("EVT-01", .contract, "Events", .must, "a change is told after it happened, once, under its topic and in its namespace"),
    Statement("EVT-02", .contract, "EventPublisher.publish", .must, "publishing waits for nobody, and fails for nobody"),
    Statement("EVT-03", .contract, "EventExchange.subscribe", .must, "a subscription begins when it is made: nothing is replayed"),
    Statement("EVT-04", .contract, "EventExchange.subscribe", .must, "every subscriber gets every envelope, in the order of publication"),
    Statement("EVT-05", .contract, "EventExchange.subscribe", .must, "a subscriber that falls more than 16 384 envelopes behind is ended"),
    Statement("EVT-06", .contract, "Event.other", .must, "what a client or a shim publishes is carried on as it is"),
  ]
}
