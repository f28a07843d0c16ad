#include "account.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"

enum { FILE_MAX = 1 << 20, LINE_FIELDS = 7 };

struct span {
  const char *text;
  size_t size;
};

// The last id but one: -1 stands for "leave it" in chown and setresuid.
static bool number(struct span span, unsigned long *value) {
  char copy[16];
  if (span.size == 0 || span.size >= sizeof copy) return false;
  memcpy(copy, span.text, span.size);
  copy[span.size] = 0;
  if (strspn(copy, "0123456789") != span.size) return false;
  errno = 0;
  *value = strtoul(copy, NULL, 10);
  return errno == 0 && *value < UINT32_MAX;
}

static bool is(struct span span, const char *text) {
  return strlen(text) == span.size && memcmp(span.text, text, span.size) == 0;
}

// The fields of the line at `line`, between colons. Returns how many there are, and no more than `max`.
static size_t cut(const char *line, struct span *fields, size_t max) {
  const char *end = line + strcspn(line, "\n");
  size_t n = 0;
  for (;;) {
    size_t size = strcspn(line, ":\n");
    if (n == max) return n;
    fields[n++] = (struct span){line, size};
    if (line + size == end) return n;
    line += size + 1;
  }
}

static const char *next_line(const char *line) {
  line += strcspn(line, "\n");
  return *line ? line + 1 : line;
}

// What is too long is not taken in part.
static bool copy_field(char *out, size_t room, struct span span) {
  if (span.size >= room) return false;
  memcpy(out, span.text, span.size);
  out[span.size] = 0;
  return true;
}

static bool take_line(struct account *account, const struct span *fields) {
  unsigned long uid, gid;
  if (!number(fields[2], &uid) || !number(fields[3], &gid)) return false;
  account->uid = (uid_t)uid;
  account->gid = (gid_t)gid;
  return copy_field(account->name, sizeof account->name, fields[0]) &&
         copy_field(account->home, sizeof account->home, fields[5]) &&
         copy_field(account->shell, sizeof account->shell, fields[6]);
}

bool account_parse(struct account *account, const char *spec, const char *passwd) {
  memset(account, 0, sizeof *account);
  const char *colon = strchr(spec, ':');
  struct span user = {spec, colon ? (size_t)(colon - spec) : strlen(spec)};
  unsigned long uid = 0, gid = 0;
  bool by_number = number(user, &uid);
  if (user.size == 0) return false;
  if (colon && !(by_number && number((struct span){colon + 1, strlen(colon + 1)}, &gid)))
    return false;
  bool found = false;
  for (const char *line = passwd; *line && !found; line = next_line(line)) {
    struct span fields[LINE_FIELDS];
    unsigned long line_uid;
    if (cut(line, fields, LINE_FIELDS) != LINE_FIELDS) continue;
    bool this_one = by_number ? number(fields[2], &line_uid) && line_uid == uid
                              : is(fields[0], spec);
    found = this_one && take_line(account, fields);
  }
  if (!found && !by_number) return false;
  if (!found) {
    memset(account, 0, sizeof *account);
    account->uid = (uid_t)uid;
    account->gid = (gid_t)uid;
    snprintf(account->name, sizeof account->name, "%lu", uid);
  }
  if (account->home[0] != '/') strcpy(account->home, "/");
  if (colon) account->gid = (gid_t)gid;
  return true;
}

static bool has_member(struct span list, const char *name) {
  const char *end = list.text + list.size;
  for (const char *at = list.text; at < end;) {
    size_t n = strcspn(at, ",:\n");
    if (n > (size_t)(end - at)) n = (size_t)(end - at);
    if (is((struct span){at, n}, name)) return true;
    at += n + 1;
  }
  return false;
}

void account_add_groups(struct account *account, const char *group) {
  for (const char *line = group; *line; line = next_line(line)) {
    struct span fields[4];
    unsigned long gid;
    if (account->group_count == ACCOUNT_GROUPS_MAX) return;
    if (cut(line, fields, 4) == 4 && number(fields[2], &gid) && gid != account->gid &&
        has_member(fields[3], account->name))
      account->groups[account->group_count++] = (gid_t)gid;
  }
}

bool account_find(struct account *account, const char *spec) {
  char none[] = "";
  char *passwd = read_file_at(AT_FDCWD, "/etc/passwd", FILE_MAX, NULL);
  if (!passwd && errno != ENOENT) return false;
  bool found = account_parse(account, spec, passwd ? passwd : none);
  free(passwd);
  if (!found) {
    errno = EINVAL;
    return false;
  }
  char *group = read_file_at(AT_FDCWD, "/etc/group", FILE_MAX, NULL);
  if (group) account_add_groups(account, group);
  free(group);
  return true;
}
