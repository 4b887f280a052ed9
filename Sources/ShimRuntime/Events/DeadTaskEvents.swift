import Protocols

/// What a shim would have told about the end of its container, told by the daemon because the shim has died.
struct DeadTaskEvents {
  var key: TaskKey
  var exit: ExitStatus

  func publish(to events: any EventPublisher, exitIsKnown: Bool) {
    if !exitIsKnown {
      events.publish(EventEnvelope(namespace: key.namespace, event: .taskExit(container: key.id, id: key.id, exit: exit)))
    }
    events.publish(EventEnvelope(namespace: key.namespace, event: .taskDelete(container: key.id, id: key.id, exit: exit)))
  }
}
