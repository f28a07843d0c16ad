// Users of the guest, by the text of /etc/passwd and /etc/group: a static program has no name service.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { ACCOUNT_GROUPS_MAX = 64, ACCOUNT_TEXT_MAX = 256 };

struct account {
  uid_t uid;
  gid_t gid;
  char name[64]; // the number where there is no name
  char home[ACCOUNT_TEXT_MAX], shell[ACCOUNT_TEXT_MAX]; // shell: empty where there is none
  gid_t groups[ACCOUNT_GROUPS_MAX]; // beside `gid`
  size_t group_count;
};

// `spec` is NAME, UID or UID:GID. A number needs no entry; without one the group has the user's number, and home
// is /. False: there is no such user.
bool account_parse(struct account *account, const char *spec, const char *passwd);

// The groups that name the account as a member.
void account_add_groups(struct account *account, const char *group);

// Of this machine. False with errno: EINVAL where there is no such user.
bool account_find(struct account *account, const char *spec);
