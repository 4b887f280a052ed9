// A mount of the made-up tree, in threads of this process, through either transport.
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "tree.h"

typedef enum transport { RAW, LIBRARY } transport;

typedef struct server {
  transport transport;
  const char *target;
  int device;
  void *session;  // of the library
  cfuse_service service;
  pthread_t threads[2];
  // Directory of complete files, each named by its node's number; -1: none.
  int complete;
  // Milliseconds before a read is answered.
  _Atomic int delay;
  _Atomic uint64_t asked, answered;
} server;

// `with_opens`: with a block, in memory shared with children.
void server_make(server *s, transport transport, const char *target, bool with_opens);
void server_mount(server *s, const cfuse_mount_options *options);
// Two threads. Their results must be 0 when they are joined.
void server_start(server *s);
// Unmounts, joins, frees. Gives whether all ended as they should.
bool server_end(server *s);

// Writes the whole file where the backing callback finds it.
void complete_file(server *s, uint32_t node);
cfuse_counters counters(const server *s);
