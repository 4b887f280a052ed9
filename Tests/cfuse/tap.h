// Test Anything Protocol.
#pragma once
#include <stdbool.h>

// One line of the report. Gives what holds.
bool ok(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Ends the program: nothing can be tested.
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
// The plan, and the status to exit with.
int tap_end(void);

double seconds(void);
void pause_ms(int milliseconds);
