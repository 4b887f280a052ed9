#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct entry {
  uint32_t parent;
  cfuse_name name;
} entry;

static cfuse_node *nodes;
static entry *entries;
static cfuse_attribute *attributes;
static uint8_t *text;
static uint32_t node_count, entry_count, attribute_count, text_count;

static void *grown(void *old, uint32_t count, size_t size) {
  // By powers of two, so that not every addition moves everything.
  if (count != 0 && (count & (count - 1)) != 0) return old;
  void *now = realloc(old, (count ? (size_t)count * 2 : 1) * size);
  if (!now) abort();
  return now;
}

static uint32_t put(const void *bytes, uint32_t count) {
  uint32_t place = text_count;
  for (uint32_t i = 0; i < count; i++) {
    text = grown(text, text_count, 1);
    text[text_count++] = ((const uint8_t *)bytes)[i];
  }
  return place;
}

static void name_node(uint32_t parent, const char *name, uint32_t node) {
  entries = grown(entries, entry_count, sizeof *entries);
  entries[entry_count++] = (entry){parent, {.node = node, .text = put(name, (uint32_t)strlen(name)), .length = (uint32_t)strlen(name)}};
  nodes[node].links++;
}

static uint32_t add(uint32_t parent, const char *name, mode_t mode, uint64_t size) {
  nodes = grown(nodes, node_count, sizeof *nodes);
  uint32_t node = node_count++;
  nodes[node] = (cfuse_node){
      .size = size,
      .seconds = 1000000000 + node,
      .nanoseconds = node % 999999999,
      .mode = mode,
      .owner = node % 7,
      .group = 100000 + node % 3,
      .parent = parent,
  };
  if (node != parent) name_node(parent, name, node);
  if (S_ISDIR(mode)) {
    nodes[node].links = 2;
    if (node != parent) nodes[parent].links++;
  }
  return node;
}

static void link_to(uint32_t parent, const char *name, const char *target) {
  uint32_t length = (uint32_t)strlen(target), node = add(parent, name, S_IFLNK | 0777, length);
  nodes[node].target = put(target, length);
  nodes[node].target_length = length;
}

static void device_at(uint32_t parent, const char *name, mode_t mode, uint32_t major, uint32_t minor) {
  uint32_t node = add(parent, name, mode, 0);
  nodes[node].major = major;
  nodes[node].minor = minor;
}

// All of a node's at once, one call after another.
static void attribute_on(uint32_t node, const char *name, const void *value, uint32_t count) {
  if (nodes[node].attribute_count++ == 0) nodes[node].attribute = attribute_count;
  attributes = grown(attributes, attribute_count, sizeof *attributes);
  uint32_t length = (uint32_t)strlen(name), at = put(name, length);
  attributes[attribute_count++] = (cfuse_attribute){.name = at, .name_length = length, .value = put(value, count), .value_length = count};
}

static int by_place(const void *left, const void *right) {
  const entry *a = left, *b = right;
  if (a->parent != b->parent) return a->parent < b->parent ? -1 : 1;
  uint32_t common = a->name.length < b->name.length ? a->name.length : b->name.length;
  int order = memcmp(text + a->name.text, text + b->name.text, common);
  return order ? order : (a->name.length > b->name.length) - (a->name.length < b->name.length);
}

const made_tree *make_tree(void) {
  static made_tree made;
  static uint8_t long_value[60000];
  char name[300];
  if (made.tree.nodes) return &made;
  uint32_t root = add(0, "", S_IFDIR | 0755, 4096);
  made.many = add(root, "many", S_IFDIR | 0755, 4096);
  for (int i = 0; i < 2500; i++) {
    snprintf(name, sizeof name, "f%04d", i);
    uint32_t node = add(made.many, name, S_IFREG | 0644, (uint64_t)(i * 37 % 9000));
    if (i == 200) made.small = node;
    if (i % 500 == 0) attribute_on(node, "user.number", name, 5);
  }
  uint32_t long_names = add(root, "long", S_IFDIR | 0700, 4096);
  for (int i = 0; i < 200; i++) {
    memset(name, 'a' + i % 26, 255);
    snprintf(name + 250, 6, "%05d", i);
    add(long_names, name, S_IFREG | 0600, (uint64_t)i);
  }
  uint32_t deep = root;
  for (int i = 0; i < 40; i++) deep = add(deep, "deeper", S_IFDIR | 0750, 4096);
  add(deep, "end", S_IFREG | 0444, 5000);
  add(root, "empty", S_IFREG | 0644, 0);
  add(root, "no names", S_IFDIR | 01777, 4096);
  made.large = add(root, "large", S_IFREG | 0755, (24 << 20) + 123);
  uint32_t links = add(root, "links", S_IFDIR | 0755, 4096);
  link_to(links, "near", "../empty");
  link_to(links, "nowhere", "/does/not/exist");
  memset(name, 'x', 299);
  name[299] = 0;
  link_to(links, "far", name);
  uint32_t hard = add(links, "first", S_IFREG | 04755, 7777);
  name_node(links, "second", hard);
  name_node(deep, "third", hard);
  uint32_t devices = add(root, "devices", S_IFDIR | 0755, 4096);
  device_at(devices, "null", S_IFCHR | 0666, 1, 3);
  device_at(devices, "whiteout", S_IFCHR, 0, 0);
  device_at(devices, "wide", S_IFBLK | 0600, 259, 70000);
  add(devices, "pipe", S_IFIFO | 0600, 0);
  add(devices, "socket", S_IFSOCK | 0600, 0);
  uint32_t marked = add(root, "marked", S_IFREG | 0644, 1);
  for (size_t i = 0; i < sizeof long_value; i++) long_value[i] = (uint8_t)(i * 31);
  attribute_on(marked, "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  attribute_on(marked, "user.empty", "", 0);
  attribute_on(marked, "user.long", long_value, sizeof long_value);
  attribute_on(marked, "trusted.overlay.origin", "\0\xfb", 2);
  uint32_t opaque = add(root, "opaque", S_IFDIR | 0755, 4096);
  attribute_on(opaque, "trusted.overlay.opaque", "y", 1);

  qsort(entries, entry_count, sizeof *entries, by_place);
  cfuse_name *names = calloc(entry_count, sizeof *names);
  if (!names) abort();
  for (uint32_t i = 0; i < entry_count; i++) {
    names[i] = entries[i].name;
    cfuse_node *parent = &nodes[entries[i].parent];
    if (parent->count++ == 0) parent->first = i;
  }
  made.tree = (cfuse_tree){.nodes = nodes, .names = names, .attributes = attributes, .text = text, .node_count = node_count};
  for (uint32_t i = 0; i < node_count; i++) {
    if (S_ISREG(nodes[i].mode)) made.tree.bytes += nodes[i].size;
  }
  return &made;
}

void fill_bytes(uint32_t node, uint64_t offset, uint8_t *bytes, size_t count) {
  for (size_t done = 0; done < count;) {
    uint64_t word = ((offset + done) / 8 + 1) * 0x9e3779b97f4a7c15ull ^ ((uint64_t)node << 32);
    size_t within = (offset + done) % 8, part = 8 - within < count - done ? 8 - within : count - done;
    memcpy(bytes + done, (uint8_t *)&word + within, part);
    done += part;
  }
}

const char *path_of(const cfuse_tree *tree, uint32_t node) {
  static __thread char path[4096];
  size_t start = sizeof path - 1;
  while (node != 0) {
    // The tree made here has the (first) parent in every node.
    const cfuse_node *parent = &tree->nodes[tree->nodes[node].parent];
    const cfuse_name *name = &tree->names[parent->first];
    while (name->node != node) name++;
    if (name->length + 1 > start) abort();
    start -= name->length;
    memcpy(path + start, tree->text + name->text, name->length);
    path[--start] = '/';
    node = tree->nodes[node].parent;
  }
  return path + start + (path[start] == '/');
}
