// Processes that serve are killed; whoever reads must not notice but for the time it takes.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server.h"
#include "tap.h"
#include "tests.h"

#define READERS 3

// Shared by all processes of a test.
typedef struct shared {
  // A serving process dies just before it writes an answer of so many bytes. Once.
  _Atomic uint32_t fatal_length;
  // It dies when asked for complete bytes.
  _Atomic bool fatal_backing;
  _Atomic bool stop;
  _Atomic uint64_t operations, failures;
  _Atomic uint64_t longest;  // microseconds
} shared;

static shared *common;
static server s;

ssize_t __real_writev(int file, const struct iovec *parts, int count);
ssize_t __wrap_writev(int file, const struct iovec *parts, int count) {
  uint32_t length = 0, fatal = common ? atomic_load(&common->fatal_length) : 0;
  for (int i = 0; i < count; i++) length += (uint32_t)parts[i].iov_len;
  if (fatal != 0 && length == fatal && atomic_compare_exchange_strong(&common->fatal_length, &fatal, 0)) raise(SIGKILL);
  return __real_writev(file, parts, count);
}

static int (*backing)(void *, uint32_t);
static int fatal_backing(void *context, uint32_t node) {
  if (atomic_exchange(&common->fatal_backing, false)) raise(SIGKILL);
  return backing(context, node);
}

// As fork. A child ends with the test, whatever ends that, and has none of the files the test holds open in the mount.
static int held = -1;
static pid_t child_of_test(void) {
  pid_t parent = getpid(), child = fork();
  if (child < 0) die("fork");
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  if (held >= 0) close(held);
  return 0;
}

// One that reads. Without the device: whoever has it keeps the mount from failing when nobody is left to serve, its own reads too.
static pid_t reading_child(void) {
  pid_t child = child_of_test();
  if (child == 0) close(s.device);
  return child;
}

// A process that serves until it is killed or the mount is gone. Gives its id when it does.
static pid_t serving(bool is_successor) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) < 0) die("pipe");
  pid_t child = child_of_test();
  if (child == 0) {
    int error = is_successor ? cfuse_take_over(s.device, &s.service) : 0;
    if (error != 0) fprintf(stderr, "# take over: %s\n", strerror(error));
    server_start(&s);
    if (write(ready[1], "", 1) != 1) _exit(3);
    intptr_t failed = error;
    for (int i = 0; i < 2; i++) {
      void *result;
      pthread_join(s.threads[i], &result);
      failed |= (intptr_t)result;
    }
    _exit(failed ? 4 : 0);
  }
  char byte;
  close(ready[1]);
  // Nothing: it was killed before, by a request that its predecessor had left.
  if (read(ready[0], &byte, 1) < 0) die("read of a pipe");
  close(ready[0]);
  return child;
}

static bool was_killed(pid_t child) {
  int status;
  return waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void begin(const char *target, bool with_opens, int complete) {
  const cfuse_mount_options options = {.default_permissions = true, .read_only = true};
  memset(common, 0, sizeof *common);
  server_make(&s, RAW, target, with_opens);
  s.complete = complete;
  backing = s.service.backing;
  if (backing) s.service.backing = fatal_backing;
  server_mount(&s, &options);
}

static void end(pid_t child) {
  int status = -1;
  bool gone = false;
  // Children that read have ended, their last RELEASE may not have.
  for (int i = 0; i < 100 && !gone; i++) {
    gone = umount2(s.target, 0) == 0;
    if (!gone) pause_ms(5);
  }
  if (!gone) umount2(s.target, MNT_DETACH);
  bool ended = waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  ok(gone && ended, "the last process ends with the mount (status %x)", status);
  close(s.device);
  if (s.service.state) munmap(s.service.state, cfuse_state_size(s.service.tree));
}

static void *reader(void *argument) {
  uint32_t seed = (uint32_t)(uintptr_t)argument * 7919;
  const cfuse_tree *tree = s.service.tree;
  const cfuse_node *many = &tree->nodes[make_tree()->many];
  uint8_t got[16384], wanted[16384];
  while (!atomic_load(&common->stop)) {
    seed = seed * 1103515245 + 12345;
    // A file's whole, or a piece of the large one.
    const cfuse_name *name = &tree->names[many->first + (seed >> 8) % 200];
    bool large = seed >> 28 == 0;
    uint32_t node = large ? make_tree()->large : name->node;
    char path[8192];
    if (large)
      snprintf(path, sizeof path, "%s/large", s.target);
    else
      snprintf(path, sizeof path, "%s/many/%.*s", s.target, (int)name->length, tree->text + name->text);
    uint64_t size = large ? sizeof got : tree->nodes[node].size, at = large ? (seed & 0xfff) * 4096 : 0;
    double begun = seconds();
    struct stat status;
    errno = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool good = file >= 0 && pread(file, got, sizeof got, (off_t)at) == (ssize_t)size && fstat(file, &status) == 0;
    if (good) fill_bytes(node, at, wanted, size);
    good = good && memcmp(got, wanted, size) == 0 && (uint64_t)status.st_size == tree->nodes[node].size;
    if (!good && atomic_fetch_add(&common->failures, 1) == 0) fprintf(stderr, "# %s: %s\n", path, strerror(errno));
    // To be asked for again.
    if (file >= 0) {
      posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
      close(file);
    }
    uint64_t took = (uint64_t)((seconds() - begun) * 1e6), longest = atomic_load(&common->longest);
    while (took > longest && !atomic_compare_exchange_weak(&common->longest, &longest, took)) {}
    atomic_fetch_add(&common->operations, 1);
  }
  return NULL;
}

static void under_load(const char *target, bool with_opens, int complete) {
  const char *mode = with_opens ? "opens answered" : "opens refused";
  begin(target, with_opens, complete);
  cfuse_init_state state;
  int error = cfuse_handshake(s.device, &s.service, &state);
  ok(error == 0 && state.can_resend && state.passthrough == with_opens, "%s: the keeper has INIT settled (7.%u), and can have requests resent", mode,
     state.minor);
  // So that every kill meets reads that were taken and not answered.
  atomic_store(&s.delay, 3);
  pid_t child = serving(false);
  pid_t load = reading_child();
  if (load == 0) {
    pthread_t threads[READERS];
    for (uintptr_t i = 0; i < READERS; i++) {
      if (pthread_create(&threads[i], NULL, reader, (void *)(i + 1)) != 0) _exit(1);
    }
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    _exit(0);
  }
  double slowest = 0;
  int kills = 0;
  uint64_t quiet = 0;
  for (; kills < 8; kills++) {
    pause_ms(100 + kills);
    if (kills == 0) quiet = atomic_load(&common->longest);
    double begun = seconds();
    kill(child, SIGKILL);
    if (!was_killed(child)) break;
    child = serving(true);
    double took = seconds() - begun;
    if (took > slowest) slowest = took;
  }
  pause_ms(50);
  for (int i = 0; i < 2000 && atomic_load(&common->operations) <= 200; i++) pause_ms(10);
  atomic_store(&common->stop, true);
  int status = -1;
  for (int i = 0; i < 400 && waitpid(load, &status, WNOHANG) != load; i++) pause_ms(10);
  ok(kills == 8 && status == 0 && atomic_load(&common->failures) == 0 && atomic_load(&common->operations) > 200,
     "%s: %d kills, %llu reads of files, none fails; longest %.1f ms (%.1f without kills), of it kill to successor %.1f ms", mode, kills,
     (unsigned long long)atomic_load(&common->operations), (double)atomic_load(&common->longest) / 1e3, (double)quiet / 1e3, slowest * 1e3);
  if (status != 0) kill(load, SIGKILL);
  if (with_opens) {
    cfuse_counters all = counters(&s);
    ok(all.opens_passthrough > 0 && all.opens_cached > 0 && all.passthrough_off == 0, "%s: both modes were met (%llu cached, %llu passed through)", mode,
       (unsigned long long)all.opens_cached, (unsigned long long)all.opens_passthrough);
  }
  end(child);
}

// Opens in a process of its own, as the one that serves is killed meanwhile. Its status is 0 if all went well.
static pid_t opener(void) {
  pid_t child = reading_child();
  if (child != 0) return child;
  char path[4200];
  snprintf(path, sizeof path, "%s/large", s.target);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  uint8_t got[100], wanted[100];
  fill_bytes(make_tree()->large, 5000000, wanted, sizeof wanted);
  if (file >= 0 && pread(file, got, sizeof got, 5000000) == sizeof got && memcmp(got, wanted, sizeof got) == 0) _exit(0);
  fprintf(stderr, "# %s: %s\n", path, strerror(errno));
  _exit(1);
}

static bool ended_well(pid_t child) {
  int status = -1;
  return waitpid(child, &status, 0) == child && status == 0;
}

// Whether an open is passed through, which it is only when every earlier one has been counted down again.
static bool becomes_passed(void) {
  for (int i = 0; i < 200; i++) {
    uint64_t before = counters(&s).opens_passthrough;
    if (!ended_well(opener())) return false;
    if (counters(&s).opens_passthrough > before) return true;
    pause_ms(2);
  }
  return false;
}

static void in_the_middle(const char *target, int complete, uint32_t fatal_length, bool is_complete, const char *what) {
  char number[16];
  snprintf(number, sizeof number, "%u", make_tree()->large);
  unlinkat(complete, number, 0);
  begin(target, true, complete);
  if (is_complete) complete_file(&s, make_tree()->large);
  if (cfuse_handshake(s.device, &s.service, NULL) != 0) die("handshake");
  pid_t child = serving(false);
  if (fatal_length)
    atomic_store(&common->fatal_length, fatal_length);
  else
    atomic_store(&common->fatal_backing, true);
  pid_t opening = opener();
  bool killed = was_killed(child);
  child = serving(true);
  ok(killed && ended_well(opening), "killed %s: the successor answers", what);
  if (!is_complete) complete_file(&s, make_tree()->large);
  ok(becomes_passed(), "killed %s: no open is counted that is none", what);
  end(child);
}

// The other open of the same file must not be forgotten with the one that is released: the kernel would refuse the next.
static void beside_another(const char *target, int complete) {
  char number[16], path[4200];
  uint32_t node = make_tree()->large;
  snprintf(number, sizeof number, "%u", node);
  snprintf(path, sizeof path, "%s/large", target);
  unlinkat(complete, number, 0);
  begin(target, true, complete);
  if (cfuse_handshake(s.device, &s.service, NULL) != 0) die("handshake");
  pid_t child = serving(false);
  held = open(path, O_RDONLY | O_CLOEXEC);
  atomic_store(&common->fatal_length, 16);
  pid_t opening = opener();
  bool killed = was_killed(child);
  child = serving(true);
  bool went_well = ended_well(opening);
  pause_ms(20);
  complete_file(&s, node);
  went_well = went_well && ended_well(opener());
  ok(killed && held >= 0 && went_well && counters(&s).opens_passthrough == 0, "killed before it answers a release: the other open is still counted");
  close(held);
  held = -1;
  ok(becomes_passed(), "and not when it is closed");
  end(child);
}

static void before_init(const char *target) {
  begin(target, false, -1);
  pid_t child = child_of_test();
  if (child == 0) {
    atomic_store(&common->fatal_length, 16 + 64);
    _exit(cfuse_handshake(s.device, &s.service, NULL));
  }
  bool killed = was_killed(child);
  cfuse_init_state state = {0};
  int resent = cfuse_take_over(s.device, &s.service), error = cfuse_handshake(s.device, &s.service, &state);
  ok(killed && resent == 0 && error == 0 && state.can_resend, "killed before INIT is answered: INIT comes again (%s)", strerror(resent ? resent : error));
  child = serving(false);
  struct stat status;
  ok(stat(target, &status) == 0 && status.st_ino == 1, "and the mount lives");
  end(child);
}

// A push waits for the page that is being read, and so does the process that pushes, though it was killed: the successor must not wait for its end.
static void while_pushing(const char *target) {
  begin(target, false, -1);
  if (cfuse_handshake(s.device, &s.service, NULL) != 0) die("handshake");
  uint32_t node = make_tree()->small;
  pid_t child = child_of_test();
  if (child == 0) {
    atomic_store(&s.delay, 60000);
    server_start(&s);
    // The page is locked as soon as it is asked for.
    while (atomic_load(&s.asked) == 0) pause_ms(1);
    uint8_t bytes[9000];
    fill_bytes(node, 0, bytes, sizeof bytes);
    cfuse_push(s.device, node, 0, bytes, s.service.tree->nodes[node].size);
    _exit(0);
  }
  pid_t reading = reading_child();
  if (reading == 0) {
    char path[8192];
    uint8_t got[9000], wanted[9000];
    uint64_t size = s.service.tree->nodes[node].size;
    snprintf(path, sizeof path, "%s/%s", target, path_of(s.service.tree, node));
    int file = open(path, O_RDONLY | O_CLOEXEC);
    fill_bytes(node, 0, wanted, size);
    _exit(file < 0 || read(file, got, sizeof got) != (ssize_t)size || memcmp(got, wanted, size) != 0);
  }
  pause_ms(150);
  kill(child, SIGKILL);
  pause_ms(50);
  bool waits = waitpid(child, NULL, WNOHANG) == 0;
  pid_t successor = serving(true);
  ok(ended_well(reading), "killed while it pushes a page that is being read: the read succeeds");
  ok(!waits || was_killed(child), "and what was killed ends (%s)", waits ? "only then: it waited for the page" : "at once");
  end(successor);
}

void test_take_over(const char *directory) {
  char target[4096], store[4096];
  snprintf(target, sizeof target, "%s/taken", directory);
  snprintf(store, sizeof store, "%s/complete", directory);
  common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (common == MAP_FAILED || mkdir(target, 0700) < 0) die("%s", target);
  if (mkdir(store, 0700) < 0 && errno != EEXIST) die("%s", store);
  int complete = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (complete < 0) die("%s", store);
  before_init(target);
  under_load(target, false, -1);
  in_the_middle(target, complete, 0, true, "as it looks for complete bytes");
  in_the_middle(target, complete, 16 + 16, true, "before it answers an open that is passed through");
  in_the_middle(target, complete, 16 + 16, false, "before it answers a cached open");
  in_the_middle(target, complete, 16, false, "before it answers a release");
  beside_another(target, complete);
  under_load(target, true, complete);
  while_pushing(target);
  close(complete);
  rmdir(target);
}
