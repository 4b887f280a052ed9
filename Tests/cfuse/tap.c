#include "tap.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int done, failed;

static void tell(const char *before, const char *format, va_list list) {
  printf("%s", before);
  vprintf(format, list);
  printf("\n");
  fflush(stdout);
}

bool ok(bool holds, const char *format, ...) {
  char before[40];
  snprintf(before, sizeof before, "%s %d - ", holds ? "ok" : "not ok", ++done);
  failed += !holds;
  va_list list;
  va_start(list, format);
  tell(before, format, list);
  va_end(list);
  return holds;
}

void note(const char *format, ...) {
  va_list list;
  va_start(list, format);
  tell("# ", format, list);
  va_end(list);
}

void die(const char *format, ...) {
  int error = errno;
  va_list list;
  va_start(list, format);
  tell("Bail out! ", format, list);
  va_end(list);
  if (error) printf("# errno: %s\n", strerror(error));
  exit(2);
}

int tap_end(void) {
  printf("1..%d\n", done);
  if (failed) printf("# %d of %d failed\n", failed, done);
  return failed != 0;
}

double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void pause_ms(int milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000l};
  nanosleep(&time, NULL);
}
