// Users by /etc/passwd and /etc/group: a spec, and the two texts, cut by zeros.
#include "account.h"

#include <string.h>

#include "check.h"
#include "text.h"

static char *next(const uint8_t **data, size_t *size) {
  char *text = text_of(*data, *size);
  size_t used = strlen(text) + 1;
  if (used > *size) used = *size;
  *data += used;
  *size -= used;
  return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  char *spec = next(&data, &size), *passwd = next(&data, &size), *group = next(&data, &size);
  struct account account;
  memset(&account, 0xff, sizeof account);
  if (account_parse(&account, spec, passwd)) {
    // -1 would leave who asks, root, as it is.
    CHECK(account.uid != (uid_t)-1 && account.gid != (gid_t)-1);
    CHECK(memchr(account.name, 0, sizeof account.name) && account.home[0] == '/');
    CHECK(memchr(account.home, 0, sizeof account.home));
    CHECK(memchr(account.shell, 0, sizeof account.shell));
    CHECK(account.group_count == 0);
    account_add_groups(&account, group);
    CHECK(account.group_count <= ACCOUNT_GROUPS_MAX);
    for (size_t i = 0; i < account.group_count; i++) CHECK(account.groups[i] != (gid_t)-1);
    // Nobody becomes root who is not asked for as root: by name, by number, or as an entry's own number.
    if (account.uid == 0) CHECK(strchr(passwd, '0') || strchr(spec, '0'));
  }
  free(group);
  free(passwd);
  free(spec);
  return 0;
}
