// One measurement on one file or directory; prints seconds. What it reads must be in the page cache if that is to be measured.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void die(const char *object) {
  fprintf(stderr, "probe: %s: %s\n", object, strerror(errno));
  exit(1);
}

static int opened(const char *path, off_t *size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file < 0 || fstat(file, &status) < 0) die(path);
  *size = status.st_size;
  return file;
}

static void in_order(const char *path) {
  static uint8_t buffer[1 << 20];
  off_t size, done = 0;
  int file = opened(path, &size);
  ssize_t count;
  while ((count = read(file, buffer, sizeof buffer)) > 0) done += count;
  if (done != size) die(path);
  close(file);
}

static void anywhere(const char *path, int reads) {
  uint8_t buffer[4096];
  off_t size;
  int file = opened(path, &size);
  posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
  uint64_t at = 88172645463325252ull;
  for (int i = 0; i < reads; i++) {
    at ^= at << 13, at ^= at >> 7, at ^= at << 17;
    if (pread(file, buffer, sizeof buffer, (off_t)(at % ((uint64_t)size / 4096) * 4096)) != sizeof buffer) die(path);
  }
  close(file);
}

// As fio's engine of that name: what is mapped is used by copying it, a MiB at a time.
static void mapped(const char *path) {
  static uint8_t buffer[1 << 20];
  off_t size;
  int file = opened(path, &size);
  const uint8_t *bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, file, 0);
  if (bytes == MAP_FAILED) die(path);
  for (off_t at = 0; at < size; at += (off_t)sizeof buffer) {
    memcpy(buffer, bytes + at, size - at < (off_t)sizeof buffer ? (size_t)(size - at) : sizeof buffer);
    // Somebody might look at it.
    __asm__ volatile("" : : "r"(buffer) : "memory");
  }
  munmap((void *)bytes, (size_t)size);
  close(file);
}

static void created(const char *directory, int count) {
  char path[4096], bytes[1024];
  memset(bytes, 'x', sizeof bytes);
  if (mkdir(directory, 0755) < 0) die(directory);
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/%d", directory, i);
    int file = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (file < 0 || write(file, bytes, sizeof bytes) != sizeof bytes) die(path);
    close(file);
  }
}

static void written(const char *path, int mebibytes) {
  static uint8_t bytes[1 << 20];
  int file = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (file < 0) die(path);
  for (int i = 0; i < mebibytes; i++) {
    if (write(file, bytes, sizeof bytes) != sizeof bytes) die(path);
  }
  close(file);
}

// Memory that was free: a host that has taken it back gives it again, page by page.
static void claimed(const char *mebibytes) {
  size_t size = (size_t)atoi(mebibytes) << 20;
  char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (bytes == MAP_FAILED) die(mebibytes);
  for (size_t i = 0; i < size; i += 4096) bytes[i] = 1;
}

int main(int count, char **words) {
  if (count < 3) {
    fputs("usage: probe in-order|mapped FILE, or anywhere FILE READS, create DIRECTORY FILES, write FILE MEBIBYTES, claim MEBIBYTES\n", stderr);
    return 2;
  }
  int number = count > 3 ? atoi(words[3]) : 0;
  double begun = now();
  if (strcmp(words[1], "in-order") == 0) in_order(words[2]);
  else if (strcmp(words[1], "mapped") == 0) mapped(words[2]);
  else if (strcmp(words[1], "anywhere") == 0) anywhere(words[2], number);
  else if (strcmp(words[1], "create") == 0) created(words[2], number);
  else if (strcmp(words[1], "write") == 0) written(words[2], number);
  else if (strcmp(words[1], "claim") == 0) claimed(words[2]);
  else return 2;
  printf("%.6f\n", now() - begun);
  return 0;
}
